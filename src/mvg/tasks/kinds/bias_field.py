"""Bias field: a picture whose brightness varies slowly, as with surface coils -> an even picture.

The level is the largest change of brightness, as a natural logarithm.
"""

import numpy as np
from numpy.typing import NDArray

from mvg.tasks.restoration import Degradation
from mvg.tasks.task import TaskSpec

_WAVES = 4
_FASTEST = 0.8  # periods per side


def degrade(pictures: NDArray[np.float32], level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Multiply by the exponential of a few slow waves, which run through all slices."""
    coordinates = np.meshgrid(*(np.linspace(0, 1, side, endpoint=False) for side in pictures.shape), indexing="ij")
    field = np.zeros(pictures.shape)
    for _ in range(_WAVES):
        frequency, phase = rng.uniform(-_FASTEST, _FASTEST, 3), rng.uniform(0, 1)
        field += np.cos(2 * np.pi * (sum(f * at for f, at in zip(frequency, coordinates, strict=True)) + phase))
    field -= field.mean()
    field *= level / max(float(np.abs(field).max()), 1e-6)
    return np.asarray(pictures * np.exp(field), np.float32)


DEGRADATION = Degradation(TaskSpec("bias_field", residual=True, on_request=True), degrade, (0.5, 1.0), ("MRI",))

SPEC = DEGRADATION.spec
offered_by, evaluated = DEGRADATION.offered_by, DEGRADATION.evaluated
