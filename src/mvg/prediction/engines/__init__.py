"""Where the queries of a batch are predicted: each file starts workers in its way; all share one scheduler."""
