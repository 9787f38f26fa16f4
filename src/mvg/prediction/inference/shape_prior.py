"""What two annotated slices imply for the slices between them: outlines interpolated by signed distances."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FAR = 64.0
"""Pixels: the distance to a label that a slice does not hold."""


def signed_distances(labels: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """The distance in pixels (K, rows, cols) to the outline of each class 1..K: positive inside, negative outside."""
    return np.stack([_signed_distance(labels == number) for number in range(1, classes + 1)])


def interpolated(below: NDArray[np.float32], above: NDArray[np.float32], position: float) -> NDArray[np.float32]:
    """Signed distances between those of two slices; position: 0 at the lower slice, 1 at the upper one."""
    return np.asarray((1 - position) * below + position * above, np.float32)


def _signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    if not mask.any():
        return np.full(mask.shape, -FAR, np.float32)
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    return np.asarray(np.clip(inside - outside, -FAR, FAR), np.float32)
