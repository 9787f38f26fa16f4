"""Volumes: voxels with their place in the patient. Knows arrays and affines; nothing of files or of models.

World coordinates are RAS+ millimetres throughout (x to the patient's right, y to the front, z upwards).
"""

from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from mvg.errors import GeometryError

Plane = Literal["axial", "coronal", "sagittal"]

# Canonical arrays are (left, posterior, superior); each plane is cut along one of these axes.
_CUT: dict[Plane, int] = {"axial": 2, "coronal": 1, "sagittal": 0}
_PICTURE_AXES: dict[Plane, tuple[int, int, int]] = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
_LETTERS = ("RL", "AP", "IS")
_SPACING_TIE = 1.01  # spacings within one percent count as equal when a plane is chosen
_Kind = TypeVar("_Kind", bound="_Grid")


@dataclass(frozen=True)
class Header:
    """The geometry as a file spelled it, kept so that the same file format can spell it again bit for bit.

    kind: the spelling ("nifti1", "nifti2", "itk"); content: its bytes; affine: the bytes of the affine it stood for.
    """

    kind: str
    content: bytes
    affine: bytes


@dataclass(frozen=True, eq=False)
class _Grid:
    """Voxels (X, Y, Z) and the affine (4, 4) from voxel index to RAS+ millimetres; both read-only."""

    voxels: NDArray[Any]
    affine: NDArray[Any]  # float64 from here on, whatever was handed over
    header: Header | None = None

    def __post_init__(self) -> None:
        voxels = np.asarray(self.voxels)
        if voxels.ndim != 3 or 0 in voxels.shape:
            raise GeometryError(
                f"an array of shape {voxels.shape}",
                "three axes (X, Y, Z), none empty",
                "hand over one volume at a time",
            )
        object.__setattr__(self, "voxels", _frozen(voxels, self._dtype(voxels)))
        object.__setattr__(self, "affine", _checked_affine(self.affine))

    @staticmethod
    def _dtype(voxels: NDArray[Any]) -> np.dtype[Any]:
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each array axis."""
        x, y, z = self.voxels.shape
        return x, y, z

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along each array axis, in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def axcodes(self) -> tuple[str, str, str]:
        """Where each array axis points to, as letters of R/L, A/P, S/I; ("L", "P", "S") when canonical."""
        codes = ["", "", ""]
        for world, (axis, reverse) in enumerate(_orientation(self.affine)):
            codes[axis] = _LETTERS[world][int(not reverse)]
        return codes[0], codes[1], codes[2]

    @property
    def plane(self) -> Plane:
        """The plane that slices are best cut in: perpendicular to an axis of length 1, else to the coarsest axis.

        Ties go to axial, then coronal.
        """
        order = [axis for axis, _ in _orientation(self.affine)]
        shape = [self.shape[axis] for axis in order]
        spacing = [self.spacing[axis] for axis in order]
        for plane, axis in _CUT.items():
            if shape[axis] == 1:
                return plane
        return next(plane for plane, axis in _CUT.items() if spacing[axis] * _SPACING_TIE >= max(spacing))

    def cut_along(self, plane: Plane) -> Plane:
        """How it is cut among volumes that are cut along `plane`: a single slice along its own, others as they are."""
        return self.plane if 1 in self.shape else plane

    def same_grid(self, other: "_Grid", tolerance: float = 1e-3) -> bool:
        """Whether both have the same shape and every corner voxel lies at the same place, within `tolerance` mm."""
        if self.shape != other.shape:
            return False
        corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
        corners[:, :3] *= np.array(self.shape) - 1
        return bool(np.abs(corners @ (self.affine - other.affine).T).max() <= tolerance)

    def canonical(self: _Kind) -> _Kind:
        """The same voxels with axes ordered left, posterior, superior, by flips and permutations only."""
        order = _orientation(self.affine)
        step = np.zeros((4, 4))
        step[3, 3] = 1
        for target, (axis, reverse) in enumerate(order):
            step[axis, target] = -1 if reverse else 1
            step[axis, 3] = self.shape[axis] - 1 if reverse else 0
        return replace(self, voxels=_to_canonical(self.voxels, order), affine=self.affine @ step, header=None)

    def like(self, canonical_voxels: NDArray[Any]) -> "Volume | LabelMap":
        """Puts an array that lies on `canonical()`'s grid back onto this grid.

        Returns a LabelMap for integer arrays and a Volume for others, with this very shape and affine (bit for bit).
        Raises GeometryError when the shape is not that of `canonical()`.
        """
        order = _orientation(self.affine)
        expected = tuple(self.shape[axis] for axis, _ in order)
        array = np.asarray(canonical_voxels)
        if array.shape != expected:
            raise GeometryError(
                f"an array of shape {array.shape}", f"{expected}, as canonical() has", "keep the shape of canonical()"
            )
        return _of_dtype(_from_canonical(array, order), self.affine, self.header)

    def pictures(self, plane: Plane) -> NDArray[Any]:
        """Slices (n, rows, cols) along `plane`, as radiologists display them.

        Axial: rows run to posterior, columns to the patient's left. Coronal and sagittal: rows run from superior to
        inferior, columns to the left and to posterior. A read-only view wherever possible.
        """
        array = _to_canonical(self.voxels, _orientation(self.affine)).transpose(_PICTURE_AXES[plane])
        return array if plane == "axial" else array[:, ::-1]

    def from_pictures(self, pictures: NDArray[Any], plane: Plane) -> "Volume | LabelMap":
        """The exact inverse of `pictures`: slices (n, rows, cols) put back onto this grid (a LabelMap for integers)."""
        array = np.asarray(pictures)
        expected = self._pictures_shape(plane)
        if array.shape != expected:
            raise GeometryError(
                f"pictures of shape {array.shape}",
                f"{expected} along the {plane} plane",
                "keep the shape of pictures()",
            )
        array = array if plane == "axial" else array[:, ::-1]
        return self.like(array.transpose(np.argsort(_PICTURE_AXES[plane])))

    def _pictures_shape(self, plane: Plane) -> tuple[int, ...]:
        order = _orientation(self.affine)
        return tuple(self.shape[order[axis][0]] for axis in _PICTURE_AXES[plane])

    def pixel_spacing(self, plane: Plane) -> tuple[float, float]:
        """Distance between the rows and between the columns of `pictures(plane)`, in mm."""
        order = _orientation(self.affine)
        _, row, column = (self.spacing[order[axis][0]] for axis in _PICTURE_AXES[plane])
        return row, column


@dataclass(frozen=True, eq=False)
class Volume(_Grid):
    """A picture in the patient: float32 voxels (X, Y, Z) and an affine (4, 4) to RAS+ mm; immutable.

    Raises GeometryError for other than three axes, empty axes or an affine that cannot be inverted.
    """

    @staticmethod
    def _dtype(voxels: NDArray[Any]) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def resample(self, reference: _Grid) -> "Volume":
        """This picture on the grid of `reference`, by linear interpolation; its own minimum outside of its field."""
        return Volume(_resampled(self, reference, 1, float(self.voxels.min())), reference.affine, reference.header)


@dataclass(frozen=True, eq=False)
class LabelMap(_Grid):
    """Integer labels (X, Y, Z) in the patient, values kept exactly, and an affine (4, 4) to RAS+ mm; immutable.

    Booleans become uint8. Raises GeometryError for arrays that are not integer, and as `Volume` does.
    """

    @staticmethod
    def _dtype(voxels: NDArray[Any]) -> np.dtype[Any]:
        if voxels.dtype == np.bool_:
            return np.dtype(np.uint8)
        if not np.issubdtype(voxels.dtype, np.integer):
            raise GeometryError(
                f"labels of type {voxels.dtype}", "an integer array", "round the labels or build a Volume instead"
            )
        return voxels.dtype.newbyteorder("=")

    @property
    def values(self) -> tuple[int, ...]:
        """The labels that occur, background 0 left out, in ascending order."""
        return tuple(int(value) for value in np.unique(self.voxels) if value != 0)

    def resample(self, reference: _Grid) -> "LabelMap":
        """These labels on the grid of `reference`, each voxel taking the nearest label; 0 outside of their field."""
        return LabelMap(_resampled(self, reference, 0, 0.0), reference.affine, reference.header)


_Axes = tuple[tuple[int, bool], ...]


def _frozen(voxels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    # A read-only array of the right type is shared; anything the caller could still write to is copied.
    shared = voxels.dtype == dtype and not voxels.flags.writeable
    array = voxels.view() if shared else np.array(voxels, dtype=dtype)
    array.flags.writeable = False
    return array


def _checked_affine(affine: ArrayLike) -> NDArray[np.float64]:
    try:
        matrix = np.array(affine, np.float64)
    except (ValueError, TypeError):
        matrix = np.zeros(0)
    good = matrix.shape == (4, 4) and bool(np.isfinite(matrix).all()) and matrix[3].tolist() == [0, 0, 0, 1]
    lengths = np.linalg.norm(matrix[:3, :3], axis=0) if good else np.zeros(3)
    if not lengths.all() or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6:
        raise GeometryError(
            f"the affine {affine!s}",
            "a finite, invertible 4 x 4 matrix to mm",
            "repair the header of the file",
        )
    matrix.flags.writeable = False
    return matrix


def _orientation(affine: NDArray[np.float64]) -> _Axes:
    """For the left, posterior and superior direction in turn: the closest array axis, and whether it runs against."""
    to_lps = np.diag([-1.0, -1.0, 1.0]) @ affine[:3, :3]
    cosines = to_lps / np.linalg.norm(to_lps, axis=0)
    # Rounding makes ties of obliques at 45 degrees fall the same way whatever the last bits are.
    best = max(permutations(range(3)), key=lambda axes: round(sum(abs(cosines[w, a]) for w, a in enumerate(axes)), 6))
    return tuple((axis, bool(cosines[world, axis] < 0)) for world, axis in enumerate(best))


def _to_canonical(voxels: NDArray[Any], order: _Axes) -> NDArray[Any]:
    array = voxels.transpose([axis for axis, _ in order])
    return array[tuple(slice(None, None, -1) if reverse else slice(None) for _, reverse in order)]


def _from_canonical(array: NDArray[Any], order: _Axes) -> NDArray[Any]:
    array = array[tuple(slice(None, None, -1) if reverse else slice(None) for _, reverse in order)]
    return array.transpose(np.argsort([axis for axis, _ in order]))


def _of_dtype(voxels: NDArray[Any], affine: NDArray[np.float64], header: Header | None) -> Volume | LabelMap:
    integer = voxels.dtype == np.bool_ or np.issubdtype(voxels.dtype, np.integer)
    return LabelMap(voxels, affine, header) if integer else Volume(voxels, affine, header)


def _resampled(moving: _Grid, reference: _Grid, order: int, outside: float) -> NDArray[Any]:
    if moving.shape == reference.shape and np.array_equal(moving.affine, reference.affine):
        return moving.voxels
    matrix = np.linalg.inv(moving.affine) @ reference.affine
    result = ndimage.affine_transform(
        moving.voxels, matrix[:3, :3], matrix[:3, 3], reference.shape, order=order, mode="nearest", prefilter=False
    )
    # Half a voxel beyond the outermost centres still belongs to the field.
    steps = np.ogrid[tuple(slice(0, length) for length in reference.shape)]
    for axis, length in enumerate(moving.shape):
        place = sum(matrix[axis, k] * steps[k] for k in range(3)) + matrix[axis, 3]
        result[(place < -0.5 - 1e-6) | (place > length - 0.5 + 1e-6)] = outside
    result.flags.writeable = False
    return np.asarray(result)
