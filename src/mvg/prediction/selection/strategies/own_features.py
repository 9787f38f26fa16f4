"""Slices that the model itself finds most like the query slice, by its features of whole pictures, wherever they lie.

Every prompt slice goes through the image stream once; `most_similar` compares thumbnails instead.
"""

import numpy as np

from mvg.prediction.selection.retrieval import PromptIndex, QuerySlice, most_alike


def choose(query: QuerySlice, shelf: PromptIndex, count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """The slices that are most alike, of different volumes where these are about as much so."""
    return most_alike(shelf.likeness(query, np.arange(len(shelf.volume))), shelf.volume, count)
