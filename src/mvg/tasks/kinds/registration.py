"""Registration: a moving and a fixed image -> the displacement field that aligns them.

A field is computed for each request (`mvg.prediction.registration`), not learned from pairs. The pairs here have a
known field: a slice that a smooth random field has displaced, the slice itself, and the field.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.data.case import Card, Case, DataSet
from mvg.data.store import StoredSlice
from mvg.tasks.task import Task, TaskSpec, windowed

_MODALITIES = ("MRI", "CT")
_LARGEST = 0.08  # displacement, as a share of the side
_SMOOTHNESS = 0.12  # standard deviation of the smoothing, as a share of the side
_ROUNDS = 20  # of the fixed-point iteration that inverts a field

SPEC = TaskSpec("registration", target_type="field", inputs=2)


@dataclass(frozen=True)
class Registration(Task):
    """A displaced slice and the slice of one channel -> the displacement from the slice to the displaced one."""

    spec: ClassVar[TaskSpec] = SPEC

    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """The images moving and fixed (2, s, s), and the field (2, s, s): rows and columns, in pixels."""
        fixed = windowed(stored, self.channel)
        backward = drawn_field(len(fixed), rng)
        moving = _displaced(fixed, backward)
        return np.stack([moving, fixed]), inverted(backward)

    def serves(self, case: Case) -> bool:
        return False


def offered_by(card: Card) -> list[Task]:
    """One task for each channel, where images show anatomy that can be aligned."""
    if card.modality not in _MODALITIES or card.image_target is not None:
        return []
    return [Registration(f"registration:{name}", card, number) for number, name in enumerate(card.channels)]


def evaluated(tasks: list[Task], data: DataSet) -> list[Task]:
    """None: pairs of two images are measured by `profiling.registration`."""
    return []


def drawn_field(side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth field (2, side, side) in pixels, whose largest displacement is up to 8 % of the side."""
    noise = rng.normal(size=(2, side, side))
    smooth = ndimage.gaussian_filter(noise, (0, _SMOOTHNESS * side, _SMOOTHNESS * side))
    largest = float(np.abs(smooth).max())
    return np.asarray(smooth * (rng.uniform(0, _LARGEST) * side / max(largest, 1e-12)), np.float32)


def inverted(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """The field that leads back from where a smooth field (2, s, s) leads to."""
    back = -field
    for _ in range(_ROUNDS):
        back = np.stack([-_displaced(part, back) for part in field])
    return np.asarray(back, np.float32)


def _displaced(picture: NDArray[np.float32], field: NDArray[np.float32]) -> NDArray[np.float32]:
    points = np.indices(picture.shape) + field
    return np.asarray(ndimage.map_coordinates(picture, points, order=1, mode="nearest"), np.float32)
