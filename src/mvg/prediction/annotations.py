"""The voxels of a volume whose labels a user has given, with undo and redo."""

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
class _Edit:
    """A correction, and the numbers and mask of its slice before it."""

    correction: Correction
    before: tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(eq=False)
class Annotations:
    """Class numbers of known voxels on the grid of a volume.

    numbers (X, Y, Z): class numbers, 0 for background; known (X, Y, Z): 1 where the user has given a label.
    """

    volume: Volume
    numbers: NDArray[np.uint8] = field(init=False)
    known: NDArray[np.uint8] = field(init=False)
    _counts: tuple[NDArray[np.int64], ...] = field(init=False)  # known voxels of each slice across each array axis
    _done: list[_Edit] = field(default_factory=list)
    _undone: list[Correction] = field(default_factory=list)

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
        edit = self._done.pop()
        where = _slice_index(edit.correction)
        before = self.known[where].copy()
        self.numbers[where], self.known[where] = edit.before
        self._count(edit.correction, before)
        self._undone.append(edit.correction)
        return edit.correction

    def redo(self) -> Correction | None:
        """Repeat the correction that was taken back last; None where there is none."""
        if not self._undone:
            return None
        correction = self._undone.pop()
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
    def history(self) -> tuple[Correction, ...]:
        """The corrections that are in effect, the first one first."""
        return tuple(edit.correction for edit in self._done)

    @property
    def undone(self) -> tuple[Correction, ...]:
        """The corrections that were taken back, in the order in which they were given."""
        return tuple(reversed(self._undone))

    def _apply(self, correction: Correction) -> None:
        where, known = _slice_index(correction), correction.known > 0
        self._done.append(_Edit(correction, (self.numbers[where].copy(), self.known[where].copy())))
        self.numbers[where] = np.where(known, correction.numbers, self.numbers[where])
        self.known[where] = np.maximum(self.known[where], correction.known)
        self._count(correction, self._done[-1].before[1])

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
