"""Masks whose edges another program smoothed: gray values there are no labels of their own."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.imaging.volume import LabelMap

_MIN_MASK = 64  # a mask is white on black; smaller values are labels
_MIN_GRAYS = 8  # values that are neither background nor the mask's
_EDGE = 10  # pixels on either side of an edge that smoothing or a block of JPEG changes
_STRAY = 0.02  # share of gray pixels that may lie elsewhere


def is_smoothed_mask(labels: LabelMap) -> bool:
    """Whether the labels are one mask, with gray values along its edges alone."""
    values, counts = _values_and_counts(labels)
    if len(values) < _MIN_GRAYS + 2 or values[0] < 0 or values[-1] < _MIN_MASK:
        return False
    black, white = _black_and_white(values, counts)
    gray = (labels.voxels != black) & (labels.voxels != white)
    inside = labels.voxels >= white / 2
    far = ~gray_zone(inside)
    return bool(np.count_nonzero(gray & far) <= _STRAY * np.count_nonzero(gray))


def without_gray_edges(labels: LabelMap) -> LabelMap:
    """A smoothed mask with two values: gray from half of its white on is white, the rest is background."""
    _, white = _black_and_white(*_values_and_counts(labels))
    return replace(labels, voxels=np.where(labels.voxels >= white / 2, white, 0).astype(labels.voxels.dtype))


def gray_zone(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels along the edges of a mask, in and outside of it."""
    structure = ndimage.generate_binary_structure(3, 3)
    grown = ndimage.binary_dilation(inside, structure, _EDGE)
    return np.asarray(grown & ~ndimage.binary_erosion(inside, structure, _EDGE, border_value=1))


def _values_and_counts(labels: LabelMap) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    return np.array(list(labels.counts)), np.array(list(labels.counts.values()))


def _black_and_white(values: NDArray[np.integer], counts: NDArray[np.integer]) -> tuple[int, int]:
    """The most frequent values of the background and of the mask."""
    bright = values >= values[-1] / 2
    black, white = (int(values[part][np.argmax(counts[part])]) if part.any() else 0 for part in (~bright, bright))
    return black, white
