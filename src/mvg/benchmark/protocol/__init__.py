"""What is evaluated: cases, pairs, methods and metrics."""
