"""Slices that look most like the query slice, by normalised correlation of thumbnails, wherever they lie."""

import numpy as np

from mvg.prediction.selection.retrieval import PromptIndex, QuerySlice, most_alike


def choose(query: QuerySlice, shelf: PromptIndex, count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """The most similar slices, of different volumes where these are about as similar."""
    return most_alike(shelf.similarity(query), shelf.volume, count)
