"""Reconstruction: the picture that incomplete raw data give -> the picture of complete ones.

MR from one line of k-space in 4 or 8 (zero-filled), CT from 60 views or from 120 degrees (filtered backprojection).
`mvg reconstruct` also makes the prediction agree with the raw data; as a task of pictures alone it does not.
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mvg._plugins import named
from mvg.data.case import Card, DataSet
from mvg.data.store import StoredSlice
from mvg.imaging.volume import Volume
from mvg.imaging.window import CT_WINDOW
from mvg.tasks import operators
from mvg.tasks.case_pair import CaseFiles, CasePair, thinned
from mvg.tasks.measurement import Measurement, as_volume, axial_grid
from mvg.tasks.task import Task, TaskSpec, windowed

_LEVELS = {"MRI": ("kspace", {"4x": 4.0, "8x": 8.0}), "CT": ("views", {"60 views": 60.0, "120 degrees": -120.0})}
_SLICES = 2  # of a case, where it is evaluated

SPEC = TaskSpec("reconstruction", sampling="tiles", residual=True, on_request=True)


@dataclass(frozen=True)
class Reconstruction(Task):
    """One channel, measured by an operator (a file of `tasks/operators`) at a level -> the channel."""

    operator: str = field(kw_only=True)
    level: float = field(kw_only=True)

    min_foreground: ClassVar[float] = 0.05

    @property
    def spec(self) -> TaskSpec:
        return replace(SPEC, measurement=self.operator)

    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        in_hu = stored.card.units == "HU"
        clean = stored.raw(self.channel) if in_hu else stored.picture(self.channel)
        grid = axial_grid((1, *clean.shape), (1.0, *stored.row.spacing))
        initial = self._measured(Volume(clean.T[..., None], grid.affine), rng).initial()[0]
        image = CT_WINDOW.apply(initial) if in_hu else np.clip(initial, 0, 1)
        return image[None], windowed(stored, self.channel)

    def case_pair(self, files: CaseFiles, rng: np.random.Generator) -> CasePair:
        whole = files.image(self.channel)
        clean = thinned(whole, whole.plane, _SLICES)
        measurement = self._measured(clean, rng)
        return CasePair(as_volume(measurement, measurement.initial()), clean, measurement=measurement)

    def _measured(self, clean: Volume, rng: np.random.Generator) -> Measurement:
        measurement: Measurement = named(operators, self.operator).MEASUREMENT.simulate(clean, self.level, rng)
        return measurement


def offered_by(card: Card) -> list[Task]:
    """One task for each channel and level: of MRI, and of CT in HU."""
    if card.modality not in _LEVELS or card.image_target is not None or (card.modality == "CT") != (card.units == "HU"):
        return []
    operator, levels = _LEVELS[card.modality]
    return [
        Reconstruction(f"reconstruction:{name}@{level}", card, channel, operator=operator, level=value)
        for channel, name in enumerate(card.channels)
        for level, value in levels.items()
    ]


def evaluated(tasks: list[Task], data: DataSet) -> list[Task]:
    """All levels of the first channel."""
    return [task for task in tasks if task.channel == 0]
