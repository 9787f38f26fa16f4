"""Prompt strategies, one per file; the file name is the public name.

Each file has `select(query: QuerySlice, index: PromptIndex, count: int, rng: Generator) -> tuple[int, ...]`: indices of
prompt slices, at least one and at most `count`, no index twice, the best first. `rng` has the same seed for every slice
of a query.
"""
