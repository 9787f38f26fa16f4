"""What improves a prediction after the first pass."""
