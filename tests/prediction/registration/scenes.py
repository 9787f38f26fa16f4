"""Made images to register: a body with structures, and the same after a known smooth change."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.imaging.displacement import DisplacementField
from mvg.imaging.volume import LabelMap, Volume

_TILT = np.deg2rad(8)
AFFINE = np.array(
    [
        [-2 * np.cos(_TILT), 2 * np.sin(_TILT), 0, 50],
        [-2 * np.sin(_TILT), -2 * np.cos(_TILT), 0, 60],
        [0, 0, 3, -20],
        [0, 0, 0, 1],
    ]
)


def body(shape: tuple[int, int, int] = (40, 36, 14), seed: int = 0) -> tuple[Volume, LabelMap]:
    """Smooth structures within an ellipsoid, and a label map of the bright ones."""
    rng = np.random.default_rng(seed)
    inside = sum(((i - (n - 1) / 2) / (0.4 * n)) ** 2 for i, n in zip(np.indices(shape), shape, strict=True)) < 1
    texture = ndimage.gaussian_filter(rng.normal(size=shape), [2.5 if n > 1 else 0 for n in shape])
    texture /= texture.std()
    voxels = np.where(inside, 100 + 25 * np.clip(texture, -2, 2), 0) + rng.normal(0, 1, shape)
    return Volume(voxels.astype(np.float32), AFFINE), LabelMap(inside * (1 + (texture > 0.5)), AFFINE)


def smooth_field(fixed: Volume, largest: float, seed: int = 1) -> DisplacementField:
    """A random field in mm whose longest component is `largest`."""
    rng = np.random.default_rng(seed)
    widths = [n / 5 if n > 1 else 0 for n in fixed.shape]
    parts = [ndimage.gaussian_filter(rng.normal(size=fixed.shape), widths) for _ in range(3)]
    vectors = np.stack(parts, axis=-1)
    if 1 in fixed.shape:
        vectors[..., 2] = 0
    return DisplacementField((vectors * (largest / np.abs(vectors).max())).astype(np.float32), fixed)


def affine_field(fixed: Volume, matrix: NDArray[np.float64]) -> DisplacementField:
    """The field of an affine map (4, 4) of RAS mm."""
    points = np.einsum("ij,jxyz->xyzi", fixed.affine[:3, :3], np.indices(fixed.shape)) + fixed.affine[:3, 3]
    steps = points @ (matrix[:3, :3] - np.eye(3)).T + matrix[:3, 3]
    return DisplacementField((steps * [-1, -1, 1]).astype(np.float32), fixed)


def dice(labels: LabelMap, truth: LabelMap) -> float:
    """The mean over the labels of the truth."""
    both = [(labels.voxels == value, truth.voxels == value) for value in truth.values]
    return float(np.mean([2 * (one & other).sum() / (one.sum() + other.sum()) for one, other in both]))
