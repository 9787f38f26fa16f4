"""What is evaluated, and how: cases, pairs, methods and metrics."""
