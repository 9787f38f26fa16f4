"""Slices whose features correlate most with the query slice, wherever they lie.

Every prompt slice is embedded once; `most_similar` compares thumbnails instead.
"""

import numpy as np

from mvg.prediction.selection.retrieval import PromptIndex, QuerySlice, highest_scores


def select(query: QuerySlice, index: PromptIndex, count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """The most similar slices, from different volumes where they are about equally similar."""
    return highest_scores(index.feature_correlation(query, np.arange(len(index))), index.volume, count)
