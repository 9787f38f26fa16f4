"""Missing slices: a volume in which some slices are black -> the whole volume.

The volume is looked at across its slices, which lie along the rows of a picture. The level is the number of rows that
are missing at a time; a third of all is missing.
"""

import numpy as np
from numpy.typing import NDArray

from mvg.tasks.restoration import Degradation
from mvg.tasks.task import TaskSpec

_PERIOD = 3  # in lengths of a gap


def degrade(pictures: NDArray[np.float32], level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Black out gaps of rows at equal distances; where the first one begins is random."""
    period = _PERIOD * int(level)
    missing = (np.arange(pictures.shape[1]) + int(rng.integers(period))) % period < level
    return np.where(missing[:, None], np.float32(0), pictures)


DEGRADATION = Degradation(
    TaskSpec("missing_slices", sampling="tiles", residual=True, on_request=True), degrade, (3.0, 6.0)
)

SPEC = DEGRADATION.spec
offered_by, evaluated = DEGRADATION.offered_by, DEGRADATION.evaluated
