"""Correction of pictures by linear regression on patches, fitted to examples: one set of weights per class of edges.

After RAISR (Romano, Isidoro, Milanfar, IEEE TCI 3(1), 2017). A pixel's class is the direction and the strength of the
edge through it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

_RADIUS = 3  # pixels of a patch around its middle
_DIRECTIONS, _STRENGTHS = 8, 3
_CLASSES = _DIRECTIONS * _STRENGTHS
_SMOOTHING = 1.5  # pixels over which edges are averaged
_BODY = 0.05  # share of the brightest pixel from which on edges are counted
_RIDGE = 1e-3  # of the mean square of a feature

Channels = NDArray[np.float32]
"""Pictures (c, n, rows, cols) of one scale, about 0 to 1; the first channel is what is corrected."""


@dataclass(frozen=True, eq=False)
class PatchRegression:
    """edges: what separates the strengths, ascending; weights (classes, features): of what is added to a pixel."""

    edges: NDArray[np.float32]
    weights: NDArray[np.float32]

    @classmethod
    def fit(cls, examples: Sequence[tuple[Channels, NDArray[np.float32]]]) -> "PatchRegression":
        """Learn what takes the first channel to the target (n, rows, cols), from volumes of any size."""
        edges = np.asarray(sum(_edges(channels[0]) for channels, _ in examples) / np.float32(len(examples)), np.float32)
        features = _feature_count(len(examples[0][0]))
        squares, products = np.zeros((_CLASSES, features, features)), np.zeros((_CLASSES, features))
        for channels, target in examples:
            for number in range(channels.shape[1]):
                change = target[number] - channels[0, number]
                for at, inside, rows in _by_class(channels[:, number], edges):
                    squares[at] += rows.T @ rows
                    products[at] += rows.T @ change[inside]
        size = np.trace(squares, axis1=1, axis2=2)[:, None, None] / features
        penalty = (_RIDGE * size + 1e-9) * np.eye(features)
        return cls(edges, np.linalg.solve(squares + penalty, products[..., None])[..., 0].astype(np.float32))

    def __call__(self, channels: Channels) -> NDArray[np.float32]:
        """The corrected pictures (n, rows, cols)."""
        corrected: NDArray[np.float32] = channels[0].copy()
        for number, picture in enumerate(corrected):
            for at, inside, rows in _by_class(channels[:, number], self.edges):
                picture[inside] += rows @ self.weights[at]
        return corrected


def _by_class(
    pictures: NDArray[np.float32], edges: NDArray[np.float32]
) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.float32]]]:
    """Of channels (c, rows, cols): each class with its pixels and their features (pixels, features)."""
    direction, strength = _structure(pictures[0])
    classes = direction * _STRENGTHS + np.searchsorted(edges, strength)
    side = 2 * _RADIUS + 1
    margins = ((0, 0), (_RADIUS, _RADIUS), (_RADIUS, _RADIUS))
    patches = sliding_window_view(np.pad(pictures, margins, mode="edge"), (side, side), axis=(1, 2))
    for at in np.unique(classes):
        inside = classes == at
        middle = pictures[:, inside]
        around = patches[:, inside].reshape(len(pictures), -1, side * side) - middle[:, :, None]
        yield int(at), inside, np.concatenate([*around, (middle[:1] - middle[1:]).T, middle[:1].T], axis=1)


def _feature_count(channels: int) -> int:
    return channels * (2 * _RADIUS + 1) ** 2 + channels


def _structure(picture: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The direction of the edge through each pixel, 0 to `_DIRECTIONS` - 1, and its strength."""
    down, across = (ndimage.sobel(picture, axis) for axis in (0, 1))
    squares = (down * down, across * across, down * across)
    first, second, mixed = (ndimage.gaussian_filter(square, _SMOOTHING) for square in squares)
    turn = np.arctan2(2 * mixed, first - second) / (2 * np.pi) + 0.5
    direction = np.floor(turn * _DIRECTIONS).astype(np.intp) % _DIRECTIONS
    return direction, np.sqrt(first + second)


def _edges(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Strengths that separate the pixels of bodies into equal parts."""
    body = pictures > _BODY * pictures.max()
    strengths = np.stack([_structure(picture)[1] for picture in pictures])[body]
    shares = np.arange(1, _STRENGTHS) / _STRENGTHS
    return np.asarray(np.quantile(strengths, shares) if strengths.size else np.zeros(len(shares)), np.float32)
