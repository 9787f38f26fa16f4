"""What a prompt strategy may look at: where slices lie in their volumes, and what they look like in small."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg import _plugins
from mvg.prediction.selection import strategies

_THUMBNAIL = 16  # pixels a side
_AGAIN = 0.1  # correlation that a further slice of the same volume must be ahead by


@dataclass(frozen=True)
class QuerySlice:
    """A query slice: its `index` among `count` slices, and its thumbnail (d,) of zero mean and unit length.

    features: what the model sees in it (f,), computed when it is called; None where there is no such model.
    """

    index: int
    count: int
    thumbnail: NDArray[np.float32]
    features: Callable[[], NDArray[np.float32]] | None = None

    @property
    def position(self) -> float:
        """Where the slice lies in its volume, in (0, 1)."""
        return (self.index + 0.5) / self.count


@dataclass(frozen=True, eq=False)
class PromptIndex:
    """The m prompt slices to choose from.

    volume (m,) which prompt volume each comes from; index (m,) and count (m,) its number in that volume and the
    volume's number of slices; thumbnails (m, d) zero mean and unit length; features: places on the shelf (n,) -> what a
    query slice has as features, of the slices there (n, f).
    """

    volume: NDArray[np.int64]
    index: NDArray[np.int64]
    count: NDArray[np.int64]
    thumbnails: NDArray[np.float32]
    features: Callable[[NDArray[np.int64]], NDArray[np.float32]] | None = None

    @property
    def position(self) -> NDArray[np.float64]:
        """Where each slice lies in its volume (m,), in (0, 1)."""
        return np.asarray((self.index + 0.5) / self.count)

    def away(self, query: QuerySlice, further: float = 0.0) -> NDArray[np.float64]:
        """How far each slice (m,) lies from the query's position, or from so much `further` on, in parts of a volume.

        A slice that is handed over alone may lie anywhere: it is away from none, and none from it.
        """
        alone = (self.count == 1) | (query.count == 1)
        return np.where(alone, 0.0, np.abs(self.position - query.position - further))

    def as_query(self, at: int) -> QuerySlice:
        """The slice at a place of the shelf, as if it were asked about."""
        see = self.features
        seen = None if see is None else lambda: see(np.array([at]))[0]
        return QuerySlice(int(self.index[at]), int(self.count[at]), self.thumbnails[at], seen)

    def without(self, volume: int) -> tuple["PromptIndex", NDArray[np.int64]]:
        """What the other volumes have on the shelf, and the places there (n,)."""
        others, see = np.flatnonzero(self.volume != volume), self.features
        seen = None if see is None else lambda at: see(others[at])
        left = PromptIndex(self.volume[others], self.index[others], self.count[others], self.thumbnails[others], seen)
        return left, others

    def similarity(self, query: QuerySlice) -> NDArray[np.float64]:
        """Normalised correlation (m,) of every thumbnail with the query's, in [-1, 1]."""
        return np.asarray(self.thumbnails @ query.thumbnail, np.float64)

    def likeness(self, query: QuerySlice, at: NDArray[np.int64]) -> NDArray[np.float64]:
        """Correlation (n,) of the features of the slices `at` these places with the query's, about their mean, in
        [-1, 1]; of thumbnails where there is no model that sees any.
        """
        if self.features is None or query.features is None:
            return self.similarity(query)[at]
        every, own = self.features(at), query.features()
        middle = every.mean(axis=0)
        every, own = every - middle, own - middle
        lengths = np.linalg.norm(every, axis=1) * np.linalg.norm(own)
        return np.asarray(every @ own / np.maximum(lengths, 1e-9), np.float64)


def most_alike(score: NDArray[np.float64], volume: NDArray[np.int64], count: int) -> tuple[int, ...]:
    """Greedily the slices of the highest score (m,), at most `count`, the best first.

    A volume (m,) that has given a slice already has to be clearly ahead to give another: different volumes tell more
    than neighbours.
    """
    score, chosen = score.copy(), list[int]()
    for _ in range(min(count, len(score))):
        best = int(np.argmax(score))
        chosen.append(best)
        score[volume == volume[best]] -= _AGAIN
        score[best] = -np.inf
    return tuple(chosen)


def spaced(some: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of `some` (n,), evenly spaced from the first to the last."""
    return np.asarray(some[np.unique(np.linspace(0, len(some) - 1, min(len(some), most)).round().astype(np.int64))])


def choose(
    strategy: str, query: QuerySlice, shelf: PromptIndex, count: int, rng: np.random.Generator
) -> tuple[int, ...]:
    """The prompt slices that the named strategy shows for a query slice; UnknownNameError lists the known ones."""
    chosen: tuple[int, ...] = _plugins.named(strategies, strategy).choose(query, shelf, count, rng)
    return chosen


def check_strategy(strategy: str) -> str:
    """The name itself if a strategy carries it; else UnknownNameError, which lists the known ones."""
    _plugins.named(strategies, strategy)
    return strategy


def thumbnails(squares: NDArray[Any]) -> NDArray[np.float32]:
    """Pictures (m, s, s) in small: rows (m, 256) of zero mean and unit length, 0 for constant pictures."""
    side = squares.shape[-1]
    edges = np.linspace(0, side, min(_THUMBNAIL, side) + 1).astype(int)[:-1]
    small = np.add.reduceat(np.add.reduceat(squares.astype(np.float32), edges, axis=1), edges, axis=2)
    small = small.reshape(len(squares), -1)
    small -= small.mean(axis=1, keepdims=True)
    length = np.linalg.norm(small, axis=1, keepdims=True)
    return np.asarray(np.where(length > 1e-6, small / np.maximum(length, 1e-6), 0), np.float32)
