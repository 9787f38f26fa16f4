"""Affines: where voxels lie in the patient."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mvg.errors import GeometryError


def checked_affine(affine: ArrayLike) -> NDArray[np.float64]:
    """A read-only copy of a matrix (4, 4) from voxels to RAS+ mm. Raises GeometryError where it cannot be inverted."""
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
