"""The voxels of a volume whose labels a user has given, with undo and redo."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mvg.errors import GeometryError
from mvg.imaging.volume import LabelMap, Plane, Volume


@dataclass(frozen=True, eq=False)
class Edit:
    """One correction: the slice `index` along array axis `axis`, and its numbers and mask before and after."""

    axis: int
    index: int
    before: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    after: tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(eq=False)
class Annotations:
    """Class numbers of known voxels on the grid of a volume.

    numbers (X, Y, Z): class numbers, 0 for background; known (X, Y, Z): 1 where the user has given a label.
    """

    volume: Volume
    numbers: NDArray[np.uint8] = field(init=False)
    known: NDArray[np.uint8] = field(init=False)
    _done: list[Edit] = field(default_factory=list)
    _undone: list[Edit] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.numbers = np.zeros(self.volume.shape, np.uint8)
        self.known = np.zeros(self.volume.shape, np.uint8)

    def set_slice(self, axis: int, index: int, numbers: NDArray[np.uint8], known: NDArray[np.bool_]) -> Edit:
        """Write the known pixels of one slice, in array order; pixels that are not known keep what they had."""
        where = _slice_index(axis, index)
        before = self.numbers[where].copy(), self.known[where].copy()
        after = np.where(known, numbers, before[0]), np.maximum(before[1], known.astype(np.uint8))
        edit = Edit(axis, index, before, (after[0].astype(np.uint8), after[1]))
        self._write(edit.axis, edit.index, edit.after)
        self._done.append(edit)
        self._undone.clear()
        return edit

    def undo(self) -> Edit | None:
        """Take back the last correction; None where there is none."""
        if not self._done:
            return None
        edit = self._done.pop()
        self._undone.append(edit)
        self._write(edit.axis, edit.index, edit.before)
        return edit

    def redo(self) -> Edit | None:
        """Repeat the correction that was taken back last; None where there is none."""
        if not self._undone:
            return None
        edit = self._undone.pop()
        self._done.append(edit)
        self._write(edit.axis, edit.index, edit.after)
        return edit

    def slices(self, plane: Plane) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Numbers and mask as slices (n, rows, cols) along a plane, as views that follow later corrections."""
        return _view(self.volume, self.numbers, plane), _view(self.volume, self.known, plane)

    @property
    def history(self) -> tuple[Edit, ...]:
        """The corrections that are in effect, the first one first."""
        return tuple(self._done)

    def _write(self, axis: int, index: int, values: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
        where = _slice_index(axis, index)
        self.numbers[where], self.known[where] = values


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


def _slice_index(axis: int, index: int) -> tuple[slice | int, ...]:
    return tuple(index if number == axis else slice(None) for number in range(3))


def _view(volume: Volume, array: NDArray[np.uint8], plane: Plane) -> NDArray[np.uint8]:
    readable = array.view()
    readable.flags.writeable = False  # a read-only array is not copied
    return np.asarray(LabelMap(readable, volume.affine).pictures(plane))
