"""The pose of a stack of slices, so that others are cut along the same plane however oblique both are."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.orientation import LPS, array_axes, orientation_of, unit_columns
from mvg.imaging.volume import LabelMap, Volume

_OBLIQUE = 30.0  # degrees from the axes of the body beyond which directions count, and not the names of planes
_SAME_PLANE = 60.0  # degrees between two stacks of thick slices that still are cut along their slices
_THICK = 1.5  # slices that are this many times thicker than their pixels are wide make a stack

_Kind = TypeVar("_Kind", bound=Volume | LabelMap)


@dataclass(frozen=True)
class Pose:
    """What stands for left, posterior and superior in a scan.

    directions: the columns of a matrix (3, 3) in RAS+, one after the other; stack: the canonical axis across thick
    slices (0 left, 1 posterior, 2 superior), None where voxels have about the same size along all axes.

    Past 45 degrees the name of the closest plane changes, although two stacks may differ by a few degrees only.
    `apply` names the axes of a volume after those of the pose instead.
    """

    directions: tuple[float, ...]
    stack: int | None

    @classmethod
    def of(cls, volume: Volume | LabelMap) -> "Pose":
        """The pose of a scan: the axes of the body, unless it is oblique by more than 30 degrees."""
        axes = np.stack([unit_columns(volume.affine)[:, axis] for axis in array_axes(volume.axes)], axis=1)
        axes = axes * volume.axes[list(array_axes(volume.axes)), 1]
        oblique = np.degrees(np.arccos(np.clip((axes * LPS).sum(axis=0), -1, 1))).max() > _OBLIQUE
        axis = stack_axis(volume)
        directions = axes if oblique else LPS
        return cls(tuple(directions.T.ravel().tolist()), None if axis is None else int(volume.axes[axis, 0]))

    def apply(self, volume: _Kind) -> _Kind:
        """The volume with its axes named after those of the pose: the same voxels and affine, but other slices."""
        directions: NDArray[np.float64] = np.array(self.directions).reshape(3, 3).T
        axis, normal = stack_axis(volume), None
        if axis is not None and self.stack is not None:
            cosine = abs(directions[:, self.stack] @ unit_columns(volume.affine)[:, axis])
            normal = (axis, self.stack) if cosine > np.cos(np.radians(_SAME_PLANE)) else None
        orientation = orientation_of(volume.affine, directions, normal)
        if np.array_equal(orientation, volume.axes):
            return volume
        return type(volume)(volume.voxels, volume.affine, volume.header, orientation)


def stack_axis(volume: Volume | LabelMap) -> int | None:
    """The array axis across thick slices, or across the only one; None where voxels are about as long along all."""
    if 1 in volume.shape:
        return volume.shape.index(1)
    order = np.argsort(volume.spacing)
    return int(order[2]) if volume.spacing[order[2]] > _THICK * volume.spacing[order[1]] else None
