"""Contrast change: a picture with another curve of brightness, as from another scanner -> with the usual one.

The level is the exponent of the curve: with 2 dark tissue is darker, with 0.5 it is brighter.
"""

import numpy as np
from numpy.typing import NDArray

from mvg.tasks.restoration import Degradation
from mvg.tasks.task import TaskSpec


def degrade(pictures: NDArray[np.float32], level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Raise intensities, which are clipped to [0, 1], to a power."""
    return np.asarray(np.clip(pictures, 0, 1) ** np.float32(level), np.float32)


DEGRADATION = Degradation(
    TaskSpec("contrast_change", sampling="tiles", residual=True, on_request=True), degrade, (2.0, 0.5), ("MRI",)
)

SPEC = DEGRADATION.spec
offered_by, evaluated = DEGRADATION.offered_by, DEGRADATION.evaluated
