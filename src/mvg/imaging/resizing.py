"""Resizes pictures: shrinking averages (antialiased linear), enlarging interpolates linearly."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array


def resized(picture: NDArray[Any], rows: int, cols: int) -> NDArray[np.float32]:
    """Pictures (..., r, c) as float32 pictures (..., rows, cols)."""
    pictures = np.asarray(picture, np.float32)
    result = np.empty((*pictures.shape[:-2], rows, cols), np.float32)
    axes = resized_axis(pictures.shape[-2], rows), resized_axis(pictures.shape[-1], cols)
    for index in np.ndindex(pictures.shape[:-2]):
        result[index] = resized_plane(pictures[index], *axes)
    return result


def resized_plane(plane: NDArray[np.float32], rows: "ResizedAxis", cols: "ResizedAxis") -> NDArray[np.float32]:
    """A picture (rows, cols), both axes resized."""
    # The axis that shrinks more goes first, which makes the second product smaller.
    if rows.after * plane.shape[1] <= cols.after * plane.shape[0]:
        return cols.of_columns(rows.of_rows(plane))
    return rows.of_rows(cols.of_columns(plane))


@dataclass(frozen=True, eq=False)
class ResizedAxis:
    """Resizes one axis from `before` to `after` pixels; weights: the sparse matrix that does it, None to copy.

    first, last (before,): the first and the last new pixel that each old one reaches.
    """

    after: int
    weights: csr_array | None
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def of_rows(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """A picture (before, n) with its rows resized."""
        return plane if self.weights is None else np.asarray(self.weights @ plane)

    def of_columns(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """A picture (n, before) with its columns resized."""
        return plane if self.weights is None else np.asarray((self.weights @ plane.T).T)

    def part(self, start: int, count: int) -> "ResizedAxis":
        """Makes only `count` of the new pixels, from `start` on."""
        kept = slice(start, start + count)
        weights = csr_array(eye_array(self.after, dtype=np.float32)) if self.weights is None else self.weights
        return ResizedAxis(count, csr_array(weights[kept]), self.first, self.last)


@lru_cache(maxsize=64)
def resized_axis(before: int, after: int) -> ResizedAxis:
    """How one axis changes its length."""
    if before == after:
        same = np.arange(after)
        return ResizedAxis(after, None, same, same)
    weights = _weights(before, after)
    reached = weights > 0
    first, last = reached.argmax(axis=0), after - 1 - reached[::-1].argmax(axis=0)
    return ResizedAxis(after, csr_array(weights), first, last)


def _weights(before: int, after: int) -> NDArray[np.float32]:
    """The matrix (after, before) that resizes one axis with a triangle filter of the width of the coarser pixels.

    Most of it is 0: a sparse product takes a fifth of the time, and no threads that wait for one another.
    """
    scale = before / after
    centers = (np.arange(after) + 0.5) * scale - 0.5
    if scale < 1:
        centers = np.clip(centers, 0, before - 1)  # growing repeats the border
    reach = np.abs(centers[:, None] - np.arange(before)[None, :]) / max(scale, 1.0)
    weights = np.maximum(0, 1 - reach)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
