"""Which prompt slices a query slice is shown."""
