"""Magnified views in training: where labels lie in their slices, and changes of geometry that magnify them."""

from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Box
from mvg.training.augmentation import Change

_MARGIN = (1.2, 2.2)  # least and largest side of a magnified view, relative to the size of the labels
_MAX_MAGNIFICATION = 4.0


@dataclass(frozen=True)
class RelativeExtent:
    """Where something lies in a letterboxed square: its center (column, row) in [-1, 1], its size as a share."""

    center: tuple[float, float]
    size: float

    @classmethod
    def of(cls, mask: NDArray[np.bool_], box: Box | None) -> "RelativeExtent | None":
        """The bounding box of the mask within `box` (None: everywhere); None where the mask is empty."""
        mask = mask if box is None else mask[box.index[1:]]
        if not mask.any():
            return None
        rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        return cls._of_range(mask.shape, (int(rows[0]), int(rows[-1]) + 1), (int(cols[0]), int(cols[-1]) + 1))

    @classmethod
    def of_random_pixel(
        cls, mask: NDArray[np.bool_], box: Box | None, rng: np.random.Generator
    ) -> "RelativeExtent | None":
        """One pixel of the mask within `box` (None: everywhere); None where the mask is empty."""
        mask = mask if box is None else mask[box.index[1:]]
        pixels = np.flatnonzero(mask)
        if not len(pixels):
            return None
        row, col = divmod(int(rng.choice(pixels)), mask.shape[1])
        return cls._of_range(mask.shape, (row, row + 1), (col, col + 1))

    @classmethod
    def _of_range(cls, shape: tuple[int, ...], rows: tuple[int, int], cols: tuple[int, int]) -> "RelativeExtent":
        side = max(shape)
        top, left = ((side - length) // 2 for length in shape)
        down = float(rows[0] + rows[1] + 2 * top) / side - 1
        across = float(cols[0] + cols[1] + 2 * left) / side - 1
        return cls((across, down), float(max(rows[1] - rows[0], cols[1] - cols[0])) / side)


def zoom_on_labels(
    changes: list[Change],
    labels: list[NDArray[Any]],
    boxes: list[Box | None],
    size: int,
    rng: np.random.Generator,
    of_volume: tuple[bool, ...] = (),
) -> list[Change]:
    """The changes of a request's pairs, all magnified by the same factor: each about the labels of its slice.

    Where the labels are large, each pair is magnified about a random pixel of one label of the query instead, at most
    to the slices' own resolution. A slice without the label is magnified about another slice's label.
    Slices of the query's volume (`of_volume`, the query is last and one of them) are magnified about one point: where
    its prompts have labels.
    """
    labels = _shared_labels(labels, of_volume)
    extents = [RelativeExtent.of(label > 0, box) for label, box in zip(labels, boxes, strict=True)]
    known = [extent for extent in extents if extent is not None]
    if not known:
        return changes
    magnification = 1 / (rng.uniform(*_MARGIN) * max(extent.size for extent in known))
    if magnification <= 1:
        native = max(max(box.rows, box.cols) if box else max(labels[-1].shape) for box in boxes) / size
        if native <= 1:
            return changes
        magnification = rng.uniform(1, native)
        extents = _random_pixels(labels, boxes, rng)
        known = [extent for extent in extents if extent is not None] or known
    magnification = min(magnification, _MAX_MAGNIFICATION)
    extents = [extents[-1] if member else extent for extent, member in zip_longest(extents, of_volume)]
    centers = [(extent or known[-1]).center for extent in extents]
    return [change.zoomed(center, magnification) for change, center in zip(changes, centers, strict=True)]


def _shared_labels(labels: list[NDArray[Any]], of_volume: tuple[bool, ...]) -> list[NDArray[Any]]:
    """The labels, where each slice of the query's volume has those of all prompts of this volume.

    Where these prompts are empty, it has those of the query, too. A pixel with several labels has the largest one.
    """
    members = [slice_labels for slice_labels, member in zip(labels, of_volume, strict=False) if member]
    if not members:
        return labels
    union = np.maximum.reduce(members[:-1])
    union = union if union.any() else members[-1]
    return [union if member else slice_labels for slice_labels, member in zip(labels, of_volume, strict=True)]


def _random_pixels(
    labels: list[NDArray[Any]], boxes: list[Box | None], rng: np.random.Generator
) -> list[RelativeExtent | None]:
    """In each slice a random pixel of one label of the query, or of any label where the query has none."""
    values = np.unique(labels[-1][labels[-1] > 0])
    value = rng.choice(values) if len(values) else 0
    masks = [label == value if value else label > 0 for label in labels]
    return [RelativeExtent.of_random_pixel(mask, box, rng) for mask, box in zip(masks, boxes, strict=True)]
