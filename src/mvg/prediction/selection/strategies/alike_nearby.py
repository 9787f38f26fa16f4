"""Slices that the model finds like the query slice and that lie about where it lies in its volume, volume by volume.

Volumes do not show the same length of a body, so that the same relative position may be another place: among slices
nearby the model's own features tell. Only the most promising ones are looked at by it.
"""

import numpy as np

from mvg.prediction.selection.retrieval import PromptIndex, QuerySlice

_REACH = 0.25  # of a volume's length: what lies farther away is not looked at
_FAR = 3.0  # correlation that a volume's whole length away takes back
_LOOKED_AT = 64  # slices that the model compares at most with one query slice


def choose(query: QuerySlice, shelf: PromptIndex, count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Round after round the best slice of every volume, the best volumes first."""
    away = shelf.away(query)
    near = np.flatnonzero(away <= max(_REACH, away.min()))
    promising = shelf.similarity(query)[near] - _FAR * away[near]
    some = near[np.argsort(-promising, kind="stable")[: max(_LOOKED_AT, count)]]
    score = shelf.likeness(query, some) - _FAR * away[some]
    ranks = np.zeros(len(some), np.int64)
    for volume in np.unique(shelf.volume[some]):
        own = np.flatnonzero(shelf.volume[some] == volume)
        ranks[own[np.argsort(-score[own], kind="stable")]] = np.arange(len(own))
    order = np.lexsort((-score, ranks))
    return tuple(int(one) for one in some[order[:count]])
