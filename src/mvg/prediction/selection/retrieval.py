"""What a prompt strategy may compare: positions in the volume, thumbnails, and features of the model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg import _plugins
from mvg.prediction.selection import strategies

_THUMBNAIL_SIDE = 16  # pixels
_SPREAD, _SPREAD_IN_ALL = 24, 192  # slices of each volume, and of all volumes if that is more, that are candidates
_REPEAT_PENALTY = 0.1  # taken off a volume's scores each time it gives a slice

Descriptors = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Indices of prompt slices (n,) -> their descriptors (n, f)."""


@dataclass(frozen=True)
class QuerySlice:
    """A query slice: number `index` of `count` slices; thumbnail (d,) of zero mean and unit length.

    descriptor: computes the model's features of the slice (f,) when called; None where there is no such model.
    """

    index: int
    count: int
    thumbnail: NDArray[np.float32]
    descriptor: Callable[[], NDArray[np.float32]] | None = None

    @property
    def position(self) -> float:
        """The relative position of the slice in its volume, in (0, 1)."""
        return (self.index + 0.5) / self.count


@dataclass(frozen=True, eq=False)
class PromptIndex:
    """The m prompt slices that a strategy chooses from.

    volume (m,): the prompt volume of each slice; index (m,) and count (m,): its number in that volume and the volume's
    number of slices; thumbnails (m, d) of zero mean and unit length; descriptors: see `Descriptors`, of the same length
    as a query's.
    """

    volume: NDArray[np.int64]
    index: NDArray[np.int64]
    count: NDArray[np.int64]
    thumbnails: NDArray[np.float32]
    descriptors: Descriptors | None = None

    def __len__(self) -> int:
        return len(self.volume)

    @property
    def position(self) -> NDArray[np.float64]:
        """The relative position of each slice in its volume (m,), in (0, 1)."""
        return np.asarray((self.index + 0.5) / self.count)

    def distance(self, query: QuerySlice, offset: float = 0.0) -> NDArray[np.float64]:
        """Distance (m,) of each slice from the query's relative position plus `offset`, in lengths of a volume.

        A single slice may lie anywhere in the body, so its distance from every other slice is 0.
        """
        single = (self.count == 1) | (query.count == 1)
        return np.where(single, 0.0, np.abs(self.position - query.position - offset))

    def as_query(self, number: int) -> QuerySlice:
        """One of the prompt slices as a query."""
        describe = self.descriptors
        descriptor = None if describe is None else lambda: describe(np.array([number]))[0]
        return QuerySlice(int(self.index[number]), int(self.count[number]), self.thumbnails[number], descriptor)

    def without_volume(self, volume: int, most: int | None = None) -> tuple["PromptIndex", NDArray[np.int64]]:
        """Those of `spread` in all other volumes, evenly spaced `most` of each, and their indices (n,) in this one."""
        candidates, describe = spread(self.volume), self.descriptors
        others = candidates[self.volume[candidates] != volume]
        if most is not None:
            volumes = (others[self.volume[others] == other] for other in np.unique(self.volume[others]))
            others = np.concatenate([evenly_spaced(members, most) for members in volumes])
        descriptors = None if describe is None else lambda indices: describe(others[indices])
        return PromptIndex(
            self.volume[others], self.index[others], self.count[others], self.thumbnails[others], descriptors
        ), others

    def thumbnail_correlation(self, query: QuerySlice) -> NDArray[np.float64]:
        """Correlation (m,) of every thumbnail with the query's, in [-1, 1]."""
        return np.asarray(self.thumbnails @ query.thumbnail, np.float64)

    def feature_correlation(self, query: QuerySlice, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Correlation (n,) of the descriptors of these slices with the query's, about their mean, in [-1, 1].

        Thumbnails are compared where there are no descriptors.
        """
        if self.descriptors is None or query.descriptor is None:
            return self.thumbnail_correlation(query)[indices]
        descriptors, descriptor = self.descriptors(indices), query.descriptor()
        mean = descriptors.mean(axis=0)
        descriptors, descriptor = descriptors - mean, descriptor - mean
        lengths = np.linalg.norm(descriptors, axis=1) * np.linalg.norm(descriptor)
        return np.asarray(descriptors @ descriptor / np.maximum(lengths, 1e-9), np.float64)


def highest_scores(score: NDArray[np.float64], volume: NDArray[np.int64], count: int) -> tuple[int, ...]:
    """Greedily the slices of the highest score (m,), at most `count`, the best first.

    A volume (m,) that has already given a slice must be clearly ahead to give another: slices of different volumes
    carry more information than neighbors.
    """
    score, chosen = score.copy(), list[int]()
    for _ in range(min(count, len(score))):
        best = int(np.argmax(score))
        chosen.append(best)
        score[volume == volume[best]] -= _REPEAT_PENALTY
        score[best] = -np.inf
    return tuple(chosen)


def spread(volume: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices (n,) of evenly spaced slices of each volume (m,), so that long volumes are not embedded as a whole.

    Volumes have 24 of them, and more where there are fewer than eight volumes; shorter ones have all.
    """
    volumes = np.unique(volume)
    most = max(_SPREAD, _SPREAD_IN_ALL // len(volumes))
    return np.concatenate([evenly_spaced(np.flatnonzero(volume == one), most) for one in volumes])


def evenly_spaced(values: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of the values (n,), evenly spaced from the first to the last."""
    places = np.linspace(0, len(values) - 1, min(len(values), count)).round().astype(np.int64)
    return np.asarray(values[np.unique(places)])


def select(
    strategy: str, query: QuerySlice, index: PromptIndex, count: int, rng: np.random.Generator
) -> tuple[int, ...]:
    """The prompt slices that a strategy chooses for a query slice; UnknownNameError lists the known strategies."""
    chosen: tuple[int, ...] = _plugins.named(strategies, strategy).select(query, index, count, rng)
    is_valid = len(set(chosen)) == len(chosen) <= count and set(chosen) <= set(range(len(index)))
    assert chosen, f"the strategy '{strategy}' selects nothing"
    assert is_valid, f"the strategy '{strategy}' selects {chosen} of {len(index)} slices, at most {count}"
    return chosen


def thumbnails(squares: NDArray[Any]) -> NDArray[np.float32]:
    """Small versions of pictures (m, s, s): rows (m, 256) of zero mean and unit length, 0 for constant pictures."""
    side = squares.shape[-1]
    edges = np.linspace(0, side, min(_THUMBNAIL_SIDE, side) + 1).astype(int)[:-1]
    small = np.add.reduceat(np.add.reduceat(squares.astype(np.float32), edges, axis=1), edges, axis=2)
    small = small.reshape(len(squares), -1)
    small -= small.mean(axis=1, keepdims=True)
    length = np.linalg.norm(small, axis=1, keepdims=True)
    return np.asarray(np.where(length > 1e-6, small / np.maximum(length, 1e-6), 0), np.float32)
