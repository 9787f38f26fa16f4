"""Super-resolution in plane: a picture of fewer pixels, enlarged to the full grid -> the picture.

The level is the number of pixels that are averaged along each side.
"""

import numpy as np
from numpy.typing import NDArray

from mvg.tasks.restoration import Degradation, averaged, rows_mapped
from mvg.tasks.task import TaskSpec


def degrade(pictures: NDArray[np.float32], level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Average blocks of pixels, and interpolate between their centers along rows and columns."""
    rows, columns = (averaged(side, int(level), 0) for side in pictures.shape[1:])
    return np.swapaxes(rows_mapped(np.swapaxes(rows_mapped(pictures, rows), 1, 2), columns), 1, 2)


DEGRADATION = Degradation(
    TaskSpec("super_resolution", sampling="tiles", residual=True, on_request=True), degrade, (2.0, 4.0)
)

SPEC = DEGRADATION.spec
offered_by, evaluated = DEGRADATION.offered_by, DEGRADATION.evaluated
