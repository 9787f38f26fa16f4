"""Which prompt slices a query slice is shown: one strategy per file, the file name is its public name.

Each file has `choose(query: QuerySlice, shelf: Shelf, count: int, rng: Generator) -> tuple[int, ...]`: the places on
the shelf to show, at most `count` of them and at least one, none twice, the most telling first. `rng` is seeded alike
for every slice of a query.
"""
