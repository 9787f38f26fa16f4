"""Speckle: an ultrasound picture with more of the grain of coherent waves -> with less.

The level is the standard deviation of the grain, as a share of the brightness.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.tasks.restoration import Degradation
from mvg.tasks.task import TaskSpec

_GRAIN = (0.0, 0.7, 1.4)  # pixels: finer along the beam than across it


def degrade(pictures: NDArray[np.float32], level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Multiply by smoothed noise, other in each slice."""
    noise = ndimage.gaussian_filter(rng.standard_normal(pictures.shape), _GRAIN)
    noise /= max(float(noise.std()), 1e-6)
    return np.asarray(pictures * np.maximum(1 + level * noise, 0), np.float32)


DEGRADATION = Degradation(
    TaskSpec("speckle", sampling="tiles", residual=True, on_request=True), degrade, (0.4, 0.8), ("ultrasound",)
)

SPEC = DEGRADATION.spec
offered_by, evaluated = DEGRADATION.offered_by, DEGRADATION.evaluated
