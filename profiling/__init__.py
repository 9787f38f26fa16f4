"""Benchmarks: how fast mvg is, and how good its weights are."""
