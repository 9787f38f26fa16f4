"""Close looks in training: where labels lie in their pictures, and changes of geometry that magnify them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Box
from mvg.training.augmentation import Change

_MARGIN = (1.2, 2.2)  # least and most size of a close look, in sizes of what is looked at
_CLOSEST = 4.0


@dataclass(frozen=True)
class Extent:
    """Where in its letterboxed square something lies: its middle (column, row) in [-1, 1], its size as a share."""

    middle: tuple[float, float]
    size: float

    @classmethod
    def of(cls, shown: NDArray[np.bool_], box: Box | None) -> "Extent | None":
        """The bounding box of what is True within `box` (None: everywhere); None where nothing is."""
        shown = shown if box is None else shown[box.index[1:]]
        if not shown.any():
            return None
        rows, cols = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
        return cls._spanning(shown.shape, (int(rows[0]), int(rows[-1]) + 1), (int(cols[0]), int(cols[-1]) + 1))

    @classmethod
    def at_random(cls, shown: NDArray[np.bool_], box: Box | None, rng: np.random.Generator) -> "Extent | None":
        """One of the pixels that are True within `box` (None: everywhere); None where nothing is."""
        shown = shown if box is None else shown[box.index[1:]]
        found = np.flatnonzero(shown)
        if not len(found):
            return None
        row, col = divmod(int(rng.choice(found)), shown.shape[1])
        return cls._spanning(shown.shape, (row, row + 1), (col, col + 1))

    @classmethod
    def _spanning(cls, shape: tuple[int, ...], rows: tuple[int, int], cols: tuple[int, int]) -> "Extent":
        side = max(shape)
        before = [(side - length) // 2 for length in shape]
        down = float(rows[0] + rows[1] + 2 * before[0]) / side - 1
        across = float(cols[0] + cols[1] + 2 * before[1]) / side - 1
        return cls((across, down), float(max(rows[1] - rows[0], cols[1] - cols[0])) / side)


def zoom_on_labels(
    changes: list[Change], labels: list[NDArray[Any]], boxes: list[Box | None], size: int, rng: np.random.Generator
) -> list[Change]:
    """Looked at closely, all alike: every panel about its labels or, where these are large, about a piece of them.

    The pieces show one label, which the query has, at most at the pictures' own resolution. A panel without it is
    looked at where another one is.
    """
    whole = [Extent.of(own > 0, box) for own, box in zip(labels, boxes, strict=True)]
    known = [place for place in whole if place is not None]
    if not known:
        return changes
    closer = 1 / (rng.uniform(*_MARGIN) * max(place.size for place in known))
    if closer <= 1:
        sharpest = max(max(box.rows, box.cols) if box else max(labels[-1].shape) for box in boxes) / size
        if sharpest <= 1:
            return changes
        closer = rng.uniform(1, sharpest)
        shown = np.unique(labels[-1][labels[-1] > 0])
        value = rng.choice(shown) if len(shown) else 0
        whole = [
            Extent.at_random(own == value if value else own > 0, box, rng)
            for own, box in zip(labels, boxes, strict=True)
        ]
        known = [place for place in whole if place is not None] or known
    closer = min(closer, _CLOSEST)
    return [change.about((place or known[-1]).middle, closer) for change, place in zip(changes, whole, strict=True)]
