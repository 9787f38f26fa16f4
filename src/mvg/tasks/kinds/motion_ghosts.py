"""Motion ghosts: an MR picture of a patient who moved during the scan -> the picture at rest.

The level is the share of the lines in k-space that were acquired in another position.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from mvg.tasks.restoration import Degradation
from mvg.tasks.task import TaskSpec

_SHIFT, _TURN = 0.03, 5.0  # largest shift as a share of the side, and turn in degrees
_BURSTS = 6  # of movement
_CENTER = 0.08  # share of the lines, in the middle, that are acquired at rest


def degrade(pictures: NDArray[np.float32], level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Take bursts of k-space lines from pictures in which the body is shifted and turned."""
    rows, columns = pictures.shape[1:]
    acquired = fft.fft(pictures, axis=1)
    length = max(1, round(level * rows / _BURSTS))
    at_rest = np.abs(fft.fftfreq(rows)) < _CENTER / 2
    for _ in range(_BURSTS):
        shift = rng.uniform(-_SHIFT, _SHIFT, 2) * (rows, columns)
        moved = ndimage.rotate(pictures, rng.uniform(-_TURN, _TURN), (1, 2), reshape=False, order=1, mode="nearest")
        moved = ndimage.shift(moved, (0, *shift), order=1, mode="nearest")
        lines = np.zeros(rows, np.bool_)
        lines[(int(rng.integers(rows)) + np.arange(length)) % rows] = True
        acquired = np.where((lines & ~at_rest)[:, None], fft.fft(moved, axis=1), acquired)
    return np.asarray(np.abs(fft.ifft(acquired, axis=1)), np.float32)


DEGRADATION = Degradation(
    TaskSpec("motion_ghosts", sampling="tiles", residual=True, on_request=True), degrade, (0.4, 0.6), ("MRI",)
)

SPEC = DEGRADATION.spec
offered_by, evaluated = DEGRADATION.offered_by, DEGRADATION.evaluated
