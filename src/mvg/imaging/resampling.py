"""Resamples voxels onto another grid with SimpleITK."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TIE = 1e-9  # voxels; a point this near to the middle between two voxels takes the later one
_EDGE = 1e-6  # voxels; a point this near to the edge of the field lies inside


def resample(
    voxels: NDArray[Any], matrix: NDArray[np.float64], shape: tuple[int, int, int], linear: bool, outside: float
) -> NDArray[Any]:
    """Resamples voxels (X, Y, Z[, C]) to a grid of another shape; the type stays the same.

    matrix: (4, 4) from indices of the new grid to those of `voxels`; linear: interpolate, else take the nearest
    voxel; outside: the value of points more than half a voxel away from the outermost voxels.
    """
    import SimpleITK as sitk  # noqa: N813

    # Repeats the border voxels, because an image extends half a voxel beyond their centers.
    padded = np.pad(voxels, [(1, 1)] * 3 + [(0, 0)] * (voxels.ndim - 3), mode="edge")
    channels = voxels.ndim > 3
    image = sitk.GetImageFromArray(padded.transpose(2, 1, 0, *range(3, voxels.ndim)), isVector=channels)
    # Rounding errors must not decide between two labels at equal distance; interpolated values are continuous there.
    offset = 1.0 if linear else 1.0 + _TIE
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation((matrix[:3, 3] + offset).tolist())
    resampler = sitk.ResampleImageFilter()
    resampler.SetInterpolator(sitk.sitkLinear if linear else sitk.sitkNearestNeighbor)
    resampler.SetSize(list(shape))
    resampler.SetTransform(transform)
    array = sitk.GetArrayFromImage(resampler.Execute(image))
    result = array.transpose(2, 1, 0, *range(3, voxels.ndim))
    _fill_outside(result, matrix, voxels.shape, outside)
    return np.asarray(result)


def _fill_outside(result: NDArray[Any], matrix: NDArray[np.float64], lengths: tuple[int, ...], value: float) -> None:
    """Fills the points of `result` that lie outside of an image with these axis lengths."""
    steps = np.ogrid[tuple(slice(0, length) for length in result.shape[:3])]
    for axis, length in enumerate(lengths[:3]):
        parts = [matrix[axis, k] * steps[k] for k in range(3)]
        low = matrix[axis, 3] + sum(float(part.min()) for part in parts)
        high = matrix[axis, 3] + sum(float(part.max()) for part in parts)
        if low < -0.5 - _EDGE or high > length - 0.5 + _EDGE:  # else no point lies outside along this axis
            index = parts[0] + parts[1] + parts[2] + matrix[axis, 3]
            result[(index < -0.5 - _EDGE) | (index > length - 0.5 + _EDGE)] = value
