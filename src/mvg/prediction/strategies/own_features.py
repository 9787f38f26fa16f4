"""Slices that the model itself finds most like the query slice, by its features of whole pictures, wherever they lie.

Otherwise as `most_similar`, which compares thumbnails. Every prompt slice goes through the image stream once.
"""

import numpy as np

from mvg.prediction.choosing import QuerySlice, Shelf

_AGAIN = 0.1  # correlation that a further slice of the same volume must be ahead by


def choose(query: QuerySlice, shelf: Shelf, count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Greedily the slice that is most alike, each volume's score falling with every slice it gave."""
    score = shelf.likeness(query)
    chosen: list[int] = []
    for _ in range(min(count, len(score))):
        best = int(np.argmax(score))
        chosen.append(best)
        score[shelf.volume == shelf.volume[best]] -= _AGAIN
        score[best] = -np.inf
    return tuple(chosen)
