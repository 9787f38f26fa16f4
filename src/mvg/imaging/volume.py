"""Volumes: voxels with their position in the patient. This module handles arrays and affines, not files or models.

World coordinates are RAS+ millimeters throughout (x to the patient's right, y to the front, z upwards).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mvg.errors import GeometryError
from mvg.imaging.affine import checked_affine
from mvg.imaging.orientation import (
    CANONICAL,
    CUT_AXIS,
    PICTURE_AXES,
    array_axes,
    axis_codes,
    canonical_affine,
    from_canonical,
    from_pictures,
    orientation_of,
    to_canonical,
    to_pictures,
)
from mvg.imaging.orientation import Plane as Plane  # as part of this module
from mvg.imaging.resampling import resample
from mvg.imaging.value_counts import value_counts

_SPACING_TIE = 1.01  # spacings within one percent count as equal when a plane is chosen
_LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)
_Kind = TypeVar("_Kind", bound="_Grid")

IGNORED = -(2**31)
"""The label value of voxels that nobody annotated, neither as background nor as a label."""


@dataclass(frozen=True)
class Header:
    """The geometry as a file stores it, kept so that the same file format can write it again bit for bit.

    kind: the form ("nifti1", "itk", ...); content: its bytes, of "dicom" the modality and the patient; affine: of what
    they describe; placed: whether it says where voxels lie in the patient.
    """

    kind: str
    content: bytes
    affine: bytes
    placed: bool = True


@dataclass(frozen=True, eq=False)
class _Grid:
    """Voxels and the affine (4, 4) from voxel index to RAS+ millimeters; both read-only.

    orientation: the anatomical axis of each array axis, see `mvg.imaging.orientation`; None for the closest.
    """

    voxels: NDArray[Any]
    affine: NDArray[Any]  # float64 from here on, whatever was handed over
    header: Header | None = None
    orientation: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        voxels = self._checked(np.asarray(self.voxels))
        object.__setattr__(self, "voxels", _frozen(voxels, self._dtype(voxels)))
        object.__setattr__(self, "affine", checked_affine(self.affine))

    @staticmethod
    def _checked(voxels: NDArray[Any]) -> NDArray[Any]:
        """Returns the voxels in the shape that is stored; GeometryError for a shape that is not allowed."""
        raise NotImplementedError

    @staticmethod
    def _dtype(voxels: NDArray[Any]) -> np.dtype[Any]:
        """The type in which voxels are stored."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each of the three array axes in space."""
        x, y, z = self.voxels.shape[:3]
        return x, y, z

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centers along each array axis, in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def axcodes(self) -> tuple[str, str, str]:
        """Where each array axis points to, as letters of R/L, A/P, S/I; ("L", "P", "S") when canonical."""
        return axis_codes(self.axes)

    @property
    def axes(self) -> NDArray[np.float64]:
        """The orientation that slices follow: the one that was given, else that closest to the affine."""
        return orientation_of(self.affine) if self.orientation is None else self.orientation

    @property
    def plane(self) -> Plane:
        """The plane of the slices: perpendicular to an axis of length 1, else to the coarsest axis.

        Among equal axes, axial comes first, then coronal.
        """
        axes = array_axes(self.axes)
        for plane, axis in CUT_AXIS.items():
            if self.shape[axes[axis]] == 1:
                return plane
        widest = max(self.spacing)
        return next(plane for plane, axis in CUT_AXIS.items() if self.spacing[axes[axis]] * _SPACING_TIE >= widest)

    def cut_along(self, plane: Plane) -> Plane:
        """The slice plane of this volume among volumes sliced along `plane`; a single slice keeps its plane."""
        return self.plane if 1 in self.shape else plane

    def same_grid(self, other: "_Grid", tolerance: float = 1e-3) -> bool:
        """Whether both have the same shape and equal positions of the corner voxels, within `tolerance` mm."""
        if self.shape != other.shape:
            return False
        corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
        corners[:, :3] *= np.array(self.shape) - 1
        return bool(np.abs(corners @ (self.affine - other.affine).T).max() <= tolerance)

    def canonical(self: _Kind) -> _Kind:
        """The same voxels with axes ordered left, posterior, superior, by flips and permutations only."""
        affine = canonical_affine(self.affine, self.axes, self.shape)
        turned = None if self.orientation is None else CANONICAL
        voxels = to_canonical(self.voxels, self.axes)
        return replace(self, voxels=voxels, affine=affine, header=None, orientation=turned)

    def like(self, canonical_voxels: NDArray[Any]) -> "Volume | LabelMap":
        """Converts an array on the grid of `canonical()` back to this grid; its channels may differ.

        Returns a LabelMap for integer arrays and a Volume for others, with the same shape and affine (bit for bit).
        Raises GeometryError when the shape is not that of `canonical()`.
        """
        expected = tuple(self.shape[axis] for axis in array_axes(self.axes))
        array = np.asarray(canonical_voxels)
        if array.shape[:3] != expected:
            raise GeometryError(
                f"an array of shape {array.shape}", f"{expected}, as canonical() has", "keep the shape of canonical()"
            )
        return _of_dtype(from_canonical(array, self.axes), self)

    def pictures(self, plane: Plane) -> NDArray[Any]:
        """Slices along `plane`, as radiologists display them: (n, rows, cols), or (n, C, rows, cols) of C channels.

        Axial: rows run to posterior, columns to the patient's left. Coronal and sagittal: rows run from superior to
        inferior, columns to the left and to posterior. A read-only view wherever possible.
        """
        return to_pictures(to_canonical(self.voxels, self.axes), plane)

    def from_pictures(self, pictures: NDArray[Any], plane: Plane) -> "Volume | LabelMap":
        """The exact inverse of `pictures`: converts slices to a volume on this grid (a LabelMap for integers).

        The number of channels may differ from this volume. Raises GeometryError for another number or size of slices.
        """
        array = np.asarray(pictures)
        axes = array_axes(self.axes)
        expected = tuple(self.shape[axes[axis]] for axis in PICTURE_AXES[plane])
        if array.shape[:1] + array.shape[-2:] != expected or array.ndim > 4:
            raise GeometryError(
                f"pictures of shape {array.shape}",
                f"{expected} along the {plane} plane",
                "keep the shape of pictures()",
            )
        return self.like(from_pictures(array, plane))

    def pixel_spacing(self, plane: Plane) -> tuple[float, float]:
        """Distance between the rows and between the columns of `pictures(plane)`, in mm."""
        axes = array_axes(self.axes)
        _, row, column = (self.spacing[axes[axis]] for axis in PICTURE_AXES[plane])
        return row, column

    def _resampled(self, reference: "_Grid", linear: bool, outside: float) -> NDArray[Any]:
        if self.shape == reference.shape and np.array_equal(self.affine, reference.affine):
            return self.voxels
        matrix = np.linalg.inv(self.affine) @ reference.affine
        result = resample(self.voxels, matrix, reference.shape, linear, outside)
        result.flags.writeable = False
        return result


@dataclass(frozen=True, eq=False)
class Volume(_Grid):
    """An image in the patient: float32 voxels (X, Y, Z), or (X, Y, Z, C) for C > 1 channels, and an affine; immutable.

    Channels are the colors of a picture (red, green, blue) or registered contrasts of one study. The affine (4, 4)
    maps voxel indices to RAS+ mm. A channel axis of length 1 is dropped. Raises GeometryError for fewer or more axes,
    empty axes or an affine that cannot be inverted.
    """

    @staticmethod
    def _checked(voxels: NDArray[Any]) -> NDArray[Any]:
        if voxels.ndim not in (3, 4) or 0 in voxels.shape:
            raise GeometryError(
                f"an array of shape {voxels.shape}",
                "three axes (X, Y, Z) or four (X, Y, Z, channels), none empty",
                "give one volume at a time",
            )
        return voxels[..., 0] if voxels.ndim == 4 and voxels.shape[3] == 1 else voxels

    @staticmethod
    def _dtype(voxels: NDArray[Any]) -> np.dtype[Any]:
        return np.dtype(np.float32)

    @property
    def channels(self) -> int:
        """Number of values per voxel: 1 for voxels (X, Y, Z), C for voxels (X, Y, Z, C)."""
        return int(self.voxels.shape[3]) if self.voxels.ndim == 4 else 1

    def resample(self, reference: _Grid) -> "Volume":
        """Resamples this image to the grid of `reference` by linear interpolation; outside of it, its minimum."""
        voxels = self._resampled(reference, True, float(self.voxels.min()))
        return Volume(voxels, reference.affine, reference.header)


@dataclass(frozen=True, eq=False)
class LabelMap(_Grid):
    """Integer labels (X, Y, Z) in the patient, values kept exactly, and an affine (4, 4) to RAS+ mm; immutable.

    Booleans become uint8. Raises GeometryError for arrays that are not integer or have other than three axes, empty
    axes or an affine that cannot be inverted.
    """

    @staticmethod
    def _checked(voxels: NDArray[Any]) -> NDArray[Any]:
        if voxels.ndim != 3 or 0 in voxels.shape:
            raise GeometryError(
                f"labels of shape {voxels.shape}", "three axes (X, Y, Z), none empty", "give one label map at a time"
            )
        return voxels

    @staticmethod
    def _dtype(voxels: NDArray[Any]) -> np.dtype[Any]:
        if voxels.dtype == np.bool_:
            return np.dtype(np.uint8)
        if not np.issubdtype(voxels.dtype, np.integer):
            raise GeometryError(
                f"labels of type {voxels.dtype}", "an integer array", "round the labels or build a Volume instead"
            )
        return voxels.dtype.newbyteorder("=")

    @cached_property
    def counts(self) -> dict[int, int]:
        """How many voxels have each value, background 0 and `IGNORED` among them, in ascending order."""
        return value_counts(self.voxels)

    @property
    def values(self) -> tuple[int, ...]:
        """The label values that occur, without background 0 and `IGNORED`, in ascending order."""
        return tuple(value for value in self.counts if value not in (0, IGNORED))

    def resample(self, reference: _Grid) -> "LabelMap":
        """Resamples these labels to the grid of `reference` by the nearest voxel; 0 outside of them."""
        return LabelMap(self._resampled(reference, False, 0.0), reference.affine, reference.header)


def luminance(volume: Volume) -> Volume:
    """The brightness of a color image as one channel, in the units of its colors (ITU-R BT.601: 0.299 R + 0.587 G +
    0.114 B); an image of one channel is returned unchanged. GeometryError unless there are one or three channels.
    """
    if volume.channels == 1:
        return volume
    if volume.channels != 3:
        raise GeometryError(
            f"an image of {volume.channels} channels", "one, or red, green and blue", "choose the channel to use"
        )
    return replace(volume, voxels=rgb_luminance(volume.voxels))


def rgb_luminance(colors: NDArray[Any]) -> NDArray[np.float32]:
    """The brightness of colors (..., 3), in their units."""
    return np.asarray(colors @ np.array(_LUMINANCE, np.float32), np.float32)


def _frozen(voxels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    # A read-only array of the right type is shared; an array that the caller could change is copied.
    shared = voxels.dtype == dtype and not voxels.flags.writeable
    array = voxels.view() if shared else np.array(voxels, dtype=dtype)
    array.flags.writeable = False
    return array


def _of_dtype(voxels: NDArray[Any], grid: _Grid) -> Volume | LabelMap:
    return (LabelMap if voxels.dtype.kind in "biu" else Volume)(voxels, grid.affine, grid.header, grid.orientation)
