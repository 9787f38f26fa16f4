"""Made scans with one intensity per class, so that a right answer is known for every voxel."""

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.volume import LabelMap, Volume

LEVELS = {0: 20.0, 3: 120.0, 700: 220.0}
_TILT = np.deg2rad(5)
AFFINE = np.array(
    [
        [-1.2 * np.cos(_TILT), 1.2 * np.sin(_TILT), 0, 80],
        [-1.2 * np.sin(_TILT), -1.2 * np.cos(_TILT), 0, 90.123456789],
        [0, 0, 5, -40],
        [0, 0, 0, 1],
    ]
)


def scan(
    shape: tuple[int, int, int] = (32, 32, 6), affine: NDArray[np.float64] = AFFINE, seed: int = 0
) -> tuple[Volume, LabelMap]:
    """A volume and its labels: two boxes in every slice, at random places, and a noisy background."""
    rng = np.random.default_rng(seed)
    axis = int(np.argmax(np.linalg.norm(affine[:3, :3], axis=0)))  # slices lie along the coarsest axis
    order = [*(a for a in range(3) if a != axis), axis]
    labels = np.zeros([shape[a] for a in order], np.int32)
    for at in range(labels.shape[2]):
        for value, edge in ((3, 12), (700, 6)):
            row, col = rng.integers(2, min(labels.shape[:2]) - edge - 2, 2)
            labels[row : row + edge, col : col + edge, at] = value
    labels = labels.transpose(np.argsort(order))
    raw = np.vectorize(LEVELS.get)(labels) + rng.uniform(-5, 5, labels.shape)
    # The same extremes everywhere, so that percentiles agree between volumes.
    raw.flat[:: raw.size // 40] = np.where(labels.flat[:: raw.size // 40] == 0, 0, raw.flat[:: raw.size // 40])
    return Volume(raw.astype(np.float32), affine), LabelMap(labels, affine)
