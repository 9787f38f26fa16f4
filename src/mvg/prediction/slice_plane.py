"""Slices of a volume by their index along an array axis, and by their number in the order of display."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.orientation import CUT_AXIS, array_axes, from_canonical, from_pictures
from mvg.imaging.volume import Plane, Volume


def planes_of(volume: Volume) -> tuple[Plane, ...]:
    """All planes, the volume's own first."""
    return (volume.plane, *(plane for plane in CUT_AXIS if plane != volume.plane))


@dataclass(frozen=True, eq=False)
class SlicePlane:
    """The slices of a volume along a plane. An index counts along the array axis, a number as in `Volume.pictures`."""

    volume: Volume
    plane: Plane

    @property
    def axis(self) -> int:
        """The array axis that the slices lie across."""
        return array_axes(self.volume.axes)[CUT_AXIS[self.plane]]

    def __len__(self) -> int:
        return self.volume.shape[self.axis]

    def number_of(self, index: int) -> int:
        """The number of the slice with this index; the same function gives the index of a number."""
        forward = self.volume.axes[self.axis, 1] > 0
        return index if forward else len(self) - 1 - index

    def to_array(self, picture: NDArray[Any]) -> NDArray[Any]:
        """A picture (rows, cols) as `voxels.take(index, axis)` has it."""
        array = from_canonical(from_pictures(picture[None], self.plane), self.volume.axes)
        return np.asarray(array.take(0, self.axis))

    @property
    def thickness(self) -> float:
        """Millimetres between neighboring slices."""
        return float(np.linalg.norm(self.volume.affine[:3, self.axis]))
