"""Slices whose features correlate with the query slice and that lie near its relative position, volume by volume.

Volumes cover different lengths of a body, so the same relative position may be another place. Features decide among
nearby slices. Only the most promising slices are embedded, and of long volumes only evenly spaced ones.
"""

import numpy as np

from mvg.prediction.selection.retrieval import PromptIndex, QuerySlice, spread

_REACH = 0.25  # lengths of a volume; slices farther away are not considered
_DISTANCE_WEIGHT = 3.0  # correlation lost over the whole length of a volume
_CANDIDATES = 64  # slices whose features are compared with one query slice, at most


def select(query: QuerySlice, index: PromptIndex, count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Round by round the best slice of every volume; within a round the best volumes first."""
    distance, possible = index.distance(query), spread(index.volume)
    possible = possible if len(possible) >= count else np.arange(len(index))
    near = possible[distance[possible] <= max(_REACH, distance[possible].min())]
    rough = index.thumbnail_correlation(query)[near] - _DISTANCE_WEIGHT * distance[near]
    candidates = near[np.argsort(-rough, kind="stable")[: max(_CANDIDATES, count)]]
    score = index.feature_correlation(query, candidates) - _DISTANCE_WEIGHT * distance[candidates]
    ranks = np.zeros(len(candidates), np.int64)
    for volume in np.unique(index.volume[candidates]):
        members = np.flatnonzero(index.volume[candidates] == volume)
        ranks[members[np.argsort(-score[members], kind="stable")]] = np.arange(len(members))
    order = np.lexsort((-score, ranks))
    return tuple(int(number) for number in candidates[order[:count]])
