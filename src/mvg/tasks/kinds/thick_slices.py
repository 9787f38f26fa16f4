"""Super-resolution through plane: thick slices, interpolated to a fine grid -> thin slices.

The volume is looked at across its thick slices, which lie along the rows of a picture. The level is their thickness in
rows.
"""

import numpy as np
from numpy.typing import NDArray

from mvg.tasks.restoration import Degradation, averaged, rows_mapped
from mvg.tasks.task import TaskSpec


def degrade(pictures: NDArray[np.float32], level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Average slabs of rows, and interpolate between their centers; where the first slab begins is random."""
    thickness = int(level)
    return rows_mapped(pictures, averaged(pictures.shape[1], thickness, int(rng.integers(thickness))))


DEGRADATION = Degradation(
    TaskSpec("thick_slices", sampling="tiles", residual=True, on_request=True), degrade, (4.0, 6.0)
)

SPEC = DEGRADATION.spec
offered_by, evaluated = DEGRADATION.offered_by, DEGRADATION.evaluated
