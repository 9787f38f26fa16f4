"""The slices of the average brain that serve as prompts and queries."""

from typing import TypeVar

import numpy as np

from mvg.imaging.volume import LabelMap, Volume

_VolumeT = TypeVar("_VolumeT", Volume, LabelMap)

_AXIAL = tuple(range(-25, 55, 10))  # prompts, in mm above the commissures; queries are halfway between them
_CORONAL = tuple(range(-34, 30, 8))  # in mm before the commissures: around the single person's slice
_PERSON = -10  # the same, of the one of four slices (-26 to -2) whose tissues agree best with the person's


def axial_slices(volume: _VolumeT) -> tuple[_VolumeT, ...]:
    """The axial slices of the average brain that are prompts."""
    return _single_slices(volume, 2, _AXIAL)


def coronal_slices(volume: _VolumeT) -> tuple[_VolumeT, ...]:
    """The coronal slices of the average brain that are prompts, around the single person's slice."""
    return _single_slices(volume, 1, _CORONAL)


def _single_slices(volume: _VolumeT, axis: int, positions: tuple[int, ...]) -> tuple[_VolumeT, ...]:
    """Slices across `axis` at `positions` (mm in the world) of a volume with voxels of 1 mm."""
    starts = [int(position - volume.affine[axis, 3]) for position in positions]
    return tuple(_take(volume, axis, range(start, start + 1)) for start in starts)


def between_prompts(volume: _VolumeT) -> _VolumeT:
    """The axial slices halfway between the prompts."""
    start = int(_AXIAL[0] + 5 - volume.affine[2, 3])
    return _take(volume, 2, range(start, start + 10 * (len(_AXIAL) - 1), 10))


def _take(volume: _VolumeT, axis: int, indices: range) -> _VolumeT:
    affine = np.array(volume.affine)
    affine[:3, 3] += indices.start * affine[:3, axis]
    affine[:3, axis] *= indices.step
    return type(volume)(volume.voxels.take(indices, axis), affine)


def moved_to_person(volume: _VolumeT) -> _VolumeT:
    """The coronal slice of the average brain that resembles the single person's, put where that one lies."""
    (cut,) = _single_slices(volume, 1, (_PERSON,))
    affine = np.array(cut.affine)
    affine[1, 3] = 0
    return type(volume)(cut.voxels, affine)
