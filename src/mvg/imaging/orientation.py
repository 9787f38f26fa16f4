"""Orientations of arrays in the patient, and the slices of an orientation, in terms of `nibabel.orientations`.

An orientation is an array (3, 2): for each array axis its canonical axis (0 left, 1 posterior, 2 superior) and its
direction along it, 1 or -1. Axes after the third are channels and stay unchanged.
"""

from itertools import permutations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Plane = Literal["axial", "coronal", "sagittal"]

CUT_AXIS: dict[Plane, int] = {"axial": 2, "coronal": 1, "sagittal": 0}
"""The canonical axis that is normal to the slices of a plane."""
PICTURE_AXES: dict[Plane, tuple[int, int, int]] = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
"""The canonical axes of the slices, rows and columns of a plane."""
CANONICAL = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
"""The orientation of axes to left, posterior and superior."""
LPS = np.diag([-1.0, -1.0, 1.0])
"""Left, posterior and superior as columns in RAS+."""
_LABELS = (("R", "L"), ("A", "P"), ("I", "S"))  # where a canonical axis begins and ends


def orientation_of(
    affine: NDArray[np.float64], directions: NDArray[np.float64] = LPS, normal: tuple[int, int] | None = None
) -> NDArray[np.float64]:
    """The orientation whose axes lie closest to those of an affine (4, 4) to RAS+ mm, in the sum of the cosines.

    directions (3, 3): unit vectors, in columns, that stand for left, posterior and superior. normal: the array axis
    and the canonical axis that belong together in any case, None to leave all free.
    `nibabel.io_orientation` assigns one axis after the other. For axes that are oblique by more than about 45 degrees,
    as in short-axis views of the heart, its choice is not always the closest orientation.
    """
    cosines = directions.T @ unit_columns(affine)
    orders = [order for order in permutations(range(3)) if normal is None or order[normal[1]] == normal[0]]
    # Rounding makes the choice for axes at 45 degrees independent of floating-point errors.
    best = max(orders, key=lambda axes: round(sum(abs(cosines[w, a]) for w, a in enumerate(axes)), 6))
    orientation = np.zeros((3, 2))
    for canonical, axis in enumerate(best):
        orientation[axis] = canonical, -1 if cosines[canonical, axis] < 0 else 1
    return orientation


def unit_columns(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The directions (3, 3) of the array axes in RAS+, one per column."""
    return np.asarray(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))


def array_axes(orientation: NDArray[np.float64]) -> tuple[int, int, int]:
    """The array axes along left, posterior and superior."""
    left, posterior, superior = np.argsort(orientation[:, 0]).tolist()
    return left, posterior, superior


def axis_codes(orientation: NDArray[np.float64]) -> tuple[str, str, str]:
    """The direction of each array axis, as letters of R/L, A/P, S/I."""
    from nibabel import orientations

    first, second, third = orientations.ornt2axcodes(orientation, _LABELS)
    return str(first), str(second), str(third)


def to_canonical(voxels: NDArray[Any], orientation: NDArray[np.float64]) -> NDArray[Any]:
    """A view of voxels (X, Y, Z[, C]) with axes (left, posterior, superior[, C])."""
    from nibabel import orientations

    return np.asarray(orientations.apply_orientation(voxels, orientation))


def from_canonical(voxels: NDArray[Any], orientation: NDArray[np.float64]) -> NDArray[Any]:
    """The inverse of `to_canonical`, a view."""
    from nibabel import orientations

    return to_canonical(voxels, orientations.ornt_transform(CANONICAL, orientation).astype(np.float64))


def canonical_affine(
    affine: NDArray[np.float64], orientation: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.float64]:
    """The affine of `to_canonical` of an array of that shape."""
    from nibabel import orientations

    return np.asarray(affine @ orientations.inv_ornt_aff(orientation, shape))


def to_pictures(canonical: NDArray[Any], plane: Plane) -> NDArray[Any]:
    """A view of canonical voxels as slices (n, rows, cols), or (n, C, rows, cols) of several channels."""
    channels = range(3, canonical.ndim)
    pictures = canonical.transpose([*PICTURE_AXES[plane], *channels])
    pictures = pictures if plane == "axial" else pictures[:, ::-1]
    return np.moveaxis(pictures, -1, 1) if channels else pictures


def from_pictures(pictures: NDArray[Any], plane: Plane) -> NDArray[Any]:
    """The inverse of `to_pictures`, a view."""
    channels = range(3, pictures.ndim)
    slices = np.moveaxis(pictures, 1, -1) if channels else pictures
    slices = slices if plane == "axial" else slices[:, ::-1]
    return slices.transpose([*np.argsort(PICTURE_AXES[plane]), *channels])
