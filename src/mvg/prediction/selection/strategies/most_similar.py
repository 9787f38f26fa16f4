"""Slices whose thumbnails correlate most with the query slice, wherever they lie."""

import numpy as np

from mvg.prediction.selection.retrieval import PromptIndex, QuerySlice, highest_scores


def select(query: QuerySlice, index: PromptIndex, count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """The most similar slices, from different volumes where they are about equally similar."""
    return highest_scores(index.thumbnail_correlation(query), index.volume, count)
