"""Slices of a query through the model: features, encoded prompts, ensembles, and whole volumes."""
