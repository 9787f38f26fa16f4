"""Overlays: labels in color on an image, for display. All pages and figures use this palette and these functions.

Images have values in [0, 1] and the shape (rows, cols), or (rows, cols, 3) for colors; labels (rows, cols)
are integers or booleans, and values up to 0 are background. Results are RGB pictures (rows, cols, 3) of 8 bits.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

RGB = tuple[int, int, int]

PALETTE: tuple[RGB, ...] = (
    (244, 140, 60), (70, 160, 245), (90, 200, 120), (220, 90, 160), (240, 220, 90), (230, 60, 60), (170, 80, 220),
    (70, 220, 230), (180, 240, 70), (250, 180, 190), (0, 150, 140), (220, 190, 255), (150, 90, 40),
)  # fmt: skip
"""The colors (red, green, blue) of the labels 1, 2, ...; after the last one they repeat."""

_OPACITY = 0.55  # of a color on the image
_CROSS = ndimage.generate_binary_structure(2, 1)


def color_of(label: int) -> RGB:
    """The color of a label above 0."""
    return PALETTE[(label - 1) % len(PALETTE)]


def plain(image: NDArray[Any]) -> NDArray[np.uint8]:
    """An image without labels, in 8 bits; values outside of [0, 1] are clipped."""
    picture = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    return np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture


def fill(image: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.uint8]:
    """An image with the regions of all labels filled with transparent colors."""
    picture = plain(image)
    labeled = labels > 0
    mixed = (1 - _OPACITY) * picture[labeled] + _OPACITY * _colors(labels[labeled])
    picture[labeled] = mixed.astype(np.uint8)
    return picture


def outline(image: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.uint8]:
    """An image with a line of one pixel around the region of each label; lines of larger labels cover others."""
    picture = plain(image)
    labels = np.maximum(labels.astype(np.int64), 0)
    widened = ndimage.grey_dilation(labels, footprint=_CROSS)
    line = widened != labels
    picture[line] = _colors(widened[line])
    return picture


def _colors(labels: NDArray[Any]) -> NDArray[np.uint8]:
    return np.array(PALETTE, np.uint8)[(labels.astype(np.int64) - 1) % len(PALETTE)]
