"""Slices that look most like the query slice, by normalised correlation of thumbnails, wherever they lie.

A volume that has given a slice already has to look clearly better to give another: different volumes tell more than
neighbours.
"""

import numpy as np

from mvg.prediction.choosing import QuerySlice, Shelf

_AGAIN = 0.1  # correlation that a further slice of the same volume must be ahead by


def choose(query: QuerySlice, shelf: Shelf, count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Greedily the most similar slice, each volume's score falling with every slice it gave."""
    score = shelf.similarity(query)
    chosen: list[int] = []
    for _ in range(min(count, len(score))):
        best = int(np.argmax(score))
        chosen.append(best)
        score[shelf.volume == shelf.volume[best]] -= _AGAIN
        score[best] = -np.inf
    return tuple(chosen)
