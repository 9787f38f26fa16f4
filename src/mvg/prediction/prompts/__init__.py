"""Prompt pairs: read, prepared and held."""
