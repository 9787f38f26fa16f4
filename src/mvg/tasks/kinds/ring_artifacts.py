"""Ring artifacts: a CT picture with rings of detector pixels that measure too much or too little -> without rings.

The level is the standard deviation of their error in HU.
"""

import numpy as np
from numpy.typing import NDArray

from mvg.tasks.restoration import HU_SPAN, Degradation
from mvg.tasks.task import TaskSpec

_FAULTY = 0.3  # share of the detector pixels


def degrade(pictures: NDArray[np.float32], level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Add a constant to each of some rings about the middle of the picture, the same in all slices."""
    rows, columns = pictures.shape[1:]
    y, x = np.ogrid[:rows, :columns]
    radius = np.hypot(y - (rows - 1) / 2, x - (columns - 1) / 2)
    count = int(radius.max()) + 2
    error = np.where(rng.random(count) < _FAULTY, rng.normal(0, level / HU_SPAN, count), 0)
    return np.asarray(pictures + np.interp(radius, np.arange(count), error), np.float32)


DEGRADATION = Degradation(
    TaskSpec("ring_artifacts", sampling="tiles", residual=True, on_request=True), degrade, (60.0, 120.0), ("CT",)
)

SPEC = DEGRADATION.spec
offered_by, evaluated = DEGRADATION.offered_by, DEGRADATION.evaluated
