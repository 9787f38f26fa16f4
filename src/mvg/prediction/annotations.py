"""The voxels of a volume whose labels a user has given, with undo and redo."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mvg.errors import GeometryError, PromptError
from mvg.imaging.volume import LabelMap, Plane, Volume


@dataclass(frozen=True, eq=False)
class Correction:
    """What a user gave for slice `index` along array axis `axis`: class numbers, and which pixels count (0 or 1)."""

    axis: int
    index: int
    numbers: NDArray[np.uint8]
    known: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _Kept:
    """Numbers and mask of a slice, compressed: a stroke takes kilobytes at most, so any number can be undone."""

    axis: int
    index: int
    shape: tuple[int, int]
    content: bytes

    @classmethod
    def of(cls, correction: Correction) -> "_Kept":
        both = np.stack([correction.numbers, correction.known])
        content = zlib.compress(both.tobytes(), 1)
        return cls(correction.axis, correction.index, (both.shape[1], both.shape[2]), content)

    @property
    def correction(self) -> Correction:
        numbers, known = np.frombuffer(zlib.decompress(self.content), np.uint8).reshape(2, *self.shape)
        return Correction(self.axis, self.index, numbers, known)


@dataclass(eq=False)
class Annotations:
    """Class numbers of known voxels on the grid of a volume.

    numbers (X, Y, Z): class numbers, 0 for background; known (X, Y, Z): 1 where the user has given a label.
    """

    volume: Volume
    numbers: NDArray[np.uint8] = field(init=False)
    known: NDArray[np.uint8] = field(init=False)
    _counts: tuple[NDArray[np.int64], ...] = field(init=False)  # known voxels of each slice across each array axis
    _done: list[tuple[_Kept, _Kept]] = field(default_factory=list)  # what was given, and what was there before
    _undone: list[_Kept] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.numbers = np.zeros(self.volume.shape, np.uint8)
        self.known = np.zeros(self.volume.shape, np.uint8)
        self._counts = tuple(np.zeros(length, np.int64) for length in self.volume.shape)

    def correct(self, correction: Correction) -> None:
        """Write the known pixels of one slice; pixels that are not known keep what they had."""
        self._apply(correction)
        self._undone.clear()

    def undo(self) -> Correction | None:
        """Take back the last correction; None where there is none."""
        if not self._done:
            return None
        given, previous = self._done.pop()
        correction, before = given.correction, previous.correction
        where = _slice_index(correction)
        known = self.known[where].copy()
        self.numbers[where], self.known[where] = before.numbers, before.known
        self._count(correction, known)
        self._undone.append(given)
        return correction

    def redo(self) -> Correction | None:
        """Repeat the correction that was taken back last; None where there is none."""
        if not self._undone:
            return None
        correction = self._undone.pop().correction
        self._apply(correction)
        return correction

    def slices(self, plane: Plane) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Numbers and mask as slices (n, rows, cols) along a plane, as views that follow later corrections."""
        return _view(self.volume, self.numbers, plane), _view(self.volume, self.known, plane)

    def whole_slices(self, axis: int) -> list[int]:
        """The slices across an array axis, by index, all of whose voxels are known."""
        area = self.volume.shape[0] * self.volume.shape[1] * self.volume.shape[2] // self.volume.shape[axis]
        return [int(index) for index in np.flatnonzero(self._counts[axis] == area)]

    @property
    def corrected(self) -> tuple[tuple[int, int], ...]:
        """The array axis and the index of each correction that is in effect, the first one first."""
        return tuple((given.axis, given.index) for given, _ in self._done)

    @property
    def history(self) -> tuple[Correction, ...]:
        """The corrections that are in effect, the first one first, unpacked."""
        return tuple(given.correction for given, _ in self._done)

    @property
    def undone(self) -> tuple[Correction, ...]:
        """The corrections that were taken back, in the order in which they were given."""
        return tuple(given.correction for given in reversed(self._undone))

    def _apply(self, correction: Correction) -> None:
        where, known = _slice_index(correction), correction.known > 0
        before = Correction(correction.axis, correction.index, self.numbers[where].copy(), self.known[where].copy())
        self._done.append((_Kept.of(correction), _Kept.of(before)))
        self.numbers[where] = np.where(known, correction.numbers, before.numbers)
        self.known[where] = np.maximum(before.known, correction.known)
        self._count(correction, before.known)

    def _count(self, correction: Correction, before: NDArray[np.uint8]) -> None:
        """Count the known voxels again after a change of one slice; `before`: its mask."""
        change = self.known[_slice_index(correction)].astype(np.int64) - before
        others = [axis for axis in range(3) if axis != correction.axis]
        self._counts[correction.axis][correction.index] += change.sum()
        for axis, other in zip(others, (1, 0), strict=True):
            self._counts[axis][:] += change.sum(axis=other)


def check_slice(volume: Volume, axis: int, index: int, labels: NDArray[np.integer]) -> None:
    """Raises GeometryError for a slice that the volume does not have, or labels of another shape."""
    count = volume.shape[axis]
    if not 0 <= index < count:
        raise GeometryError(f"slice {index} of {count} along axis {axis}", f"0 to {count - 1}", "correct the index")
    shape = tuple(length for number, length in enumerate(volume.shape) if number != axis)
    if labels.shape != shape:
        raise GeometryError(
            f"labels of shape {labels.shape} for slice {index} along axis {axis}",
            f"{shape}, as voxels.take({index}, {axis}) has",
            "hand over the slice in array order",
        )


def class_numbers(labels: NDArray[np.integer], known: NDArray[np.bool_], values: Sequence[int]) -> NDArray[np.uint8]:
    """Label values as class numbers in the order of `values`, 0 where they are not known.

    Raises PromptError for a known label that is none of them.
    """
    all_values = (0, *values)
    numbers = np.zeros(labels.shape, np.uint8)
    for value in np.unique(labels[known]).tolist():
        if value not in all_values:
            raise PromptError(
                f"the label {value} in a correction", f"one of {', '.join(map(str, all_values))}", "correct the labels"
            )
        numbers[known & (labels == value)] = all_values.index(value)
    return numbers


def _slice_index(correction: Correction) -> tuple[slice | int, ...]:
    return tuple(correction.index if axis == correction.axis else slice(None) for axis in range(3))


def _view(volume: Volume, array: NDArray[np.uint8], plane: Plane) -> NDArray[np.uint8]:
    readable = array.view()
    readable.flags.writeable = False  # a read-only array is not copied
    return np.asarray(LabelMap(readable, volume.affine, orientation=volume.orientation).pictures(plane))
