"""Arrays on a study's own grid in RAS order and back: what the page draws on, and what is stored.

RAS order is reached by flips and permutations alone: x to the patient's right, y to the front, z up. A slice of a RAS
axis is an array over the two other axes in ascending order, the lower one first.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.orientation import CUT_AXIS, array_axes, canonical_affine, from_canonical, orientation_of, to_canonical
from mvg.imaging.volume import Plane

PLANES: tuple[Plane, Plane, Plane] = ("sagittal", "coronal", "axial")
"""The plane of the slices across each RAS axis."""
assert all(CUT_AXIS[plane] == axis for axis, plane in enumerate(PLANES))


@dataclass(frozen=True, eq=False)
class RasGrid:
    """The grid of a study: its shape and its affine (4, 4) to RAS+ mm."""

    native_shape: tuple[int, int, int]
    native_affine: NDArray[np.float64]

    @cached_property
    def _orientation(self) -> NDArray[np.float64]:
        return orientation_of(self.native_affine)

    @cached_property
    def axes(self) -> tuple[int, int, int]:
        """The array axes along right, front and up."""
        return array_axes(self._orientation)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along x, y and z."""
        x, y, z = (self.native_shape[axis] for axis in self.axes)
        return x, y, z

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxels along x, y and z."""
        x, y, z = np.linalg.norm(self.native_affine[:3, :3], axis=0)[list(self.axes)]
        return float(x), float(y), float(z)

    @property
    def affine(self) -> NDArray[np.float64]:
        """The true affine (4, 4) of `to_ras` of an array."""
        canonical = canonical_affine(self.native_affine, self._orientation, self.native_shape)
        flips = np.diag([-1.0, -1.0, 1.0, 1.0])
        flips[:2, 3] = np.array(self.shape[:2]) - 1
        return np.asarray(canonical @ flips)

    def to_ras(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of an array (X, Y, Z[, C]) on the study's grid, in RAS order."""
        return to_canonical(array, self._orientation)[::-1, ::-1]

    def to_native(self, array: NDArray[Any]) -> NDArray[Any]:
        """The inverse of `to_ras`, a view."""
        return from_canonical(array[::-1, ::-1], self._orientation)

    def native_index(self, axis: int, index: int) -> int:
        """The array index of slice `index` across a RAS axis; the same function gives the RAS index of an array's."""
        forward = (self._orientation[self.axes[axis], 1] > 0) == (axis == 2)
        return index if forward else self.shape[axis] - 1 - index

    def slice_shape(self, axis: int) -> tuple[int, int]:
        """The shape of a slice across a RAS axis."""
        low, high = (length for other, length in enumerate(self.shape) if other != axis)
        return low, high

    def slice_to_native(self, axis: int, pixels: NDArray[Any]) -> NDArray[Any]:
        """A slice in RAS order as `array.take(index, axes[axis])` has it."""
        return np.asarray(self.to_native(np.expand_dims(pixels, axis)).take(0, self.axes[axis]))

    def slice_to_ras(self, axis: int, pixels: NDArray[Any]) -> NDArray[Any]:
        """The inverse of `slice_to_native`."""
        return np.asarray(self.to_ras(np.expand_dims(pixels, self.axes[axis])).take(0, axis))
