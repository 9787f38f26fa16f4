"""Frames: map slices of any size into the square of the model, and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import GeometryError
from mvg.imaging.resizing import resized, resized_axis, resized_plane

# Run-time type checks accept an int only if the annotation names it.
Spacing = tuple[float | int, float | int]


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels: its first row and column, and its number of rows and columns."""

    top: int
    left: int
    rows: int
    cols: int

    @property
    def index(self) -> tuple[Any, slice, slice]:
        """Indexes the last two axes of an array."""
        return ..., slice(self.top, self.top + self.rows), slice(self.left, self.left + self.cols)


@dataclass(frozen=True)
class Frame:
    """Maps the box `source` of a picture of `shape` (rows, cols) to the box `target` of a square of side `size`.

    Shrinking averages (antialiased linear), enlarging interpolates linearly, equal sizes are copied. The square is 0
    outside of `target`. Every method takes stacks: (..., rows, cols) or (..., size, size).
    """

    shape: tuple[int, int]
    size: int
    source: Box
    target: Box

    @classmethod
    def letterbox(cls, shape: tuple[int, int], pixel_spacing: Spacing, size: int) -> "Frame":
        """Fits the whole picture, centered, in its physical aspect; `pixel_spacing`: (row, column) in mm."""
        extent = extent_of(shape, pixel_spacing)
        return cls._centered(shape, extent, max(extent) / size, size)

    @classmethod
    def padded(cls, shape: tuple[int, int], pixel_spacing: Spacing, size: int) -> "Frame":
        """As `letterbox`, but pixels never become finer than the finer spacing: small pictures are only padded."""
        extent = extent_of(shape, pixel_spacing)
        return cls._centered(shape, extent, max(max(extent) / size, min(pixel_spacing)), size)

    @classmethod
    def _centered(cls, shape: tuple[int, int], extent: tuple[float, float], pixel: float, size: int) -> "Frame":
        rows, cols = (min(size, max(1, round(length / pixel))) for length in extent)
        target = Box((size - rows) // 2, (size - cols) // 2, rows, cols)
        return cls(shape, size, Box(0, 0, *shape), target)

    @classmethod
    def zoomed(
        cls,
        shape: tuple[int, int],
        pixel_spacing: Spacing,
        size: int,
        center: tuple[float, float],
        magnification: float,
    ) -> "Frame":
        """As `letterbox`, but magnified about `center` (row, column); 0 outside of the picture."""
        extent = max(extent_of(shape, pixel_spacing)) / magnification
        spans = [_visible_span(length, spacing, middle, extent, size)
                 for length, spacing, middle in zip(shape, pixel_spacing, center, strict=True)]  # fmt: skip
        (top, rows, to_row, to_rows), (left, cols, to_col, to_cols) = spans
        return cls(shape, size, Box(top, left, rows, cols), Box(to_row, to_col, to_rows, to_cols))

    @classmethod
    def tiles(cls, shape: tuple[int, int], size: int, overlap: int) -> tuple["Frame", ...]:
        """Crops at native resolution that cover the picture; neighbors share at least `overlap` pixels.

        A picture smaller than `size` is padded at its end. `assemble` is the inverse.
        """
        if not 0 <= overlap < size:
            raise GeometryError(
                f"tiles of {size} pixels that overlap by {overlap}", "an overlap below the size", "choose a smaller one"
            )
        frames = []
        for top, rows in _spans(shape[0], size, overlap):
            for left, cols in _spans(shape[1], size, overlap):
                frames.append(cls(shape, size, Box(top, left, rows, cols), Box(0, 0, rows, cols)))
        return tuple(frames)

    def apply(self, picture: NDArray[Any]) -> NDArray[np.float32]:
        """Converts pictures (..., rows, cols) to float32 squares (..., size, size); GeometryError for another shape."""
        self._check(picture, self.shape)
        square = np.zeros((*picture.shape[:-2], self.size, self.size), np.float32)
        square[self.target.index] = resized(picture[self.source.index], self.target.rows, self.target.cols)
        return square

    def apply_labels(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Converts labels (..., rows, cols) to squares (..., size, size) of the same type by the nearest pixel."""
        self._check(labels, self.shape)
        square = np.zeros((*labels.shape[:-2], self.size, self.size), labels.dtype)
        square[self.target.index] = _nearest(labels[self.source.index], self.target.rows, self.target.cols)
        return square

    def restore(self, square: NDArray[Any]) -> NDArray[np.float32]:
        """Converts squares (..., size, size) back to float32 pictures (..., rows, cols); 0 outside of `source`."""
        self._check(square, (self.size, self.size))
        picture = np.zeros((*square.shape[:-2], *self.shape), np.float32)
        picture[self.source.index] = resized(square[self.target.index], self.source.rows, self.source.cols)
        return picture

    def restore_part(self, square: NDArray[Any], cells: NDArray[np.bool_]) -> tuple[Box, NDArray[np.float32]]:
        """The part of a picture that some cells (size, size) of a square (size, size) reach, and its box.

        The box is empty where no cell is set.
        """
        inside, box = cells[self.target.index], self.source
        down, across = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if not len(down):
            return Box(0, 0, 0, 0), np.zeros((0, 0), np.float32)
        rows, cols = resized_axis(self.target.rows, box.rows), resized_axis(self.target.cols, box.cols)
        top, left = int(rows.first[down[0]]), int(cols.first[across[0]])
        height, width = int(rows.last[down[-1]]) + 1 - top, int(cols.last[across[-1]]) + 1 - left
        plane = np.asarray(square[self.target.index], np.float32)
        part = resized_plane(plane, rows.part(top, height), cols.part(left, width))
        return Box(box.top + top, box.left + left, height, width), part

    def restore_labels(self, square: NDArray[Any]) -> NDArray[Any]:
        """Converts label squares (..., size, size) to (..., rows, cols); exact unless `apply_labels` shrank them."""
        self._check(square, (self.size, self.size))
        labels = np.zeros((*square.shape[:-2], *self.shape), square.dtype)
        labels[self.source.index] = _nearest(square[self.target.index], self.source.rows, self.source.cols)
        return labels

    @staticmethod
    def _check(picture: NDArray[Any], expected: tuple[int, int]) -> None:
        if picture.shape[-2:] != expected:
            raise GeometryError(
                f"a picture of shape {picture.shape}", f"(..., {expected[0]}, {expected[1]})", "make a frame for it"
            )


def _visible_span(length: int, spacing: float, middle: float, extent: float, size: int) -> tuple[int, int, int, int]:
    """One axis of `Frame.zoomed`: first pixel and number of pixels in the picture, then both in the square."""
    pixels = extent / spacing  # of the picture, along the square
    first = round(middle - pixels / 2)
    start, stop = max(0, first), min(length, max(first + round(pixels), 1))
    start = min(start, length - 1)
    stop = max(stop, start + 1)
    target_first = min(size - 1, max(0, round((start - first) * size / pixels)))
    return start, stop - start, target_first, max(1, min(size - target_first, round((stop - start) * size / pixels)))


def assemble(frames: Sequence[Frame], squares: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Averages the squares (..., size, size) of all `frames` into one picture (..., rows, cols).

    Weights decrease linearly from the center of a square to its border, so that there are no seams.
    """
    size = frames[0].size
    ramp = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5).astype(np.float32)
    weight = np.outer(ramp, ramp)
    total = np.zeros((*squares[0].shape[:-2], *frames[0].shape), np.float32)
    weights = np.zeros(frames[0].shape, np.float32)
    for frame, square in zip(frames, squares, strict=True):
        box, inner = frame.source, frame.target.index
        share = resized(weight[inner], box.rows, box.cols)
        total[box.index] += resized(square[inner], box.rows, box.cols) * share
        weights[box.index] += share
    total /= weights
    return total


def extent_of(shape: tuple[int, int], pixel_spacing: Spacing) -> tuple[float, float]:
    """Height and width of a picture in mm; GeometryError when one is not positive."""
    if min(shape) < 1 or not min(pixel_spacing) > 0:
        raise GeometryError(
            f"a picture of shape {shape} with pixels of {pixel_spacing} mm", "positive numbers", "repair the file"
        )
    return float(shape[0] * pixel_spacing[0]), float(shape[1] * pixel_spacing[1])


def _spans(length: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Starts and lengths of the tiles along one axis."""
    if length <= size:
        return [(0, length)]
    count = -(-(length - overlap) // (size - overlap))
    return [(round(k * (length - size) / (count - 1)), size) for k in range(count)]


def _nearest(labels: NDArray[Any], rows: int, cols: int) -> NDArray[Any]:
    vertical, horizontal = (
        np.minimum((2 * np.arange(after) + 1) * before // (2 * after), before - 1)
        for before, after in ((labels.shape[-2], rows), (labels.shape[-1], cols))
    )
    return labels[..., vertical[:, None], horizontal[None, :]]
