"""Slices of a query through the model."""
