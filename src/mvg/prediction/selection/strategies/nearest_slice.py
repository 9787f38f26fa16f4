"""Slices at the query's relative position, from different volumes while there are any.

With fewer volumes than prompts, each volume gives several slices, spread around the query's position.
"""

from itertools import count as counting

import numpy as np

from mvg.prediction.selection.retrieval import PromptIndex, QuerySlice

_SPREAD = 0.05  # lengths of a volume, between neighboring prompts of one volume


def select(query: QuerySlice, index: PromptIndex, count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Round by round one slice of every volume; equally near slices are ordered by thumbnail correlation."""
    similarity = index.thumbnail_correlation(query)
    free = np.ones(len(similarity), bool)
    chosen: list[int] = []
    for turn in counting():
        distance = np.round(index.distance(query, (turn + 1) // 2 * (_SPREAD if turn % 2 else -_SPREAD)), 6)
        picks = []
        for volume in np.unique(index.volume[free]):
            members = np.flatnonzero(free & (index.volume == volume))
            picks.append(int(members[np.lexsort((-similarity[members], distance[members]))[0]]))
        picks = sorted(picks, key=lambda pick: -similarity[pick])[: count - len(chosen)]
        if not picks:
            break
        chosen += picks
        free[picks] = False
    return tuple(chosen)
