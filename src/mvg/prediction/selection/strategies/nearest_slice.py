"""Slices that lie where the query slice lies in its volume, from different volumes while there are any.

With fewer volumes than prompts asked for, each gives several slices, spread around the query's relative position.
"""

from itertools import count as counting

import numpy as np

from mvg.prediction.selection.retrieval import PromptIndex, QuerySlice

_SPREAD = 0.05  # of a volume's length, between neighbouring prompts from one volume


def choose(query: QuerySlice, shelf: PromptIndex, count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Round after round one slice of every volume; those equally near are ordered by how alike they look."""
    similarity = shelf.similarity(query)
    free = np.ones(len(similarity), bool)
    chosen: list[int] = []
    for turn in counting():
        away = np.round(shelf.away(query, (turn + 1) // 2 * (_SPREAD if turn % 2 else -_SPREAD)), 6)
        picks = []
        for volume in np.unique(shelf.volume[free]):
            members = np.flatnonzero(free & (shelf.volume == volume))
            picks.append(int(members[np.lexsort((-similarity[members], away[members]))[0]]))
        picks = sorted(picks, key=lambda pick: -similarity[pick])[: count - len(chosen)]
        if not picks:
            break
        chosen += picks
        free[picks] = False
    return tuple(chosen)
