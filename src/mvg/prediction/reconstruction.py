"""Reconstruction from raw data: predictions alternate with agreement with what was measured (plug and play)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import denoise_tv_chambolle

from mvg.errors import PromptError
from mvg.imaging.volume import Volume
from mvg.tasks.measurement import Measurement, as_volume

MOST_ROUNDS, MOST_SMOOTHING = 8, 100
_TV_WEIGHT = 0.02  # of total variation, where the intensities that are there span 1
_DECAY = 0.9  # of the weight, by the last step
_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class ReconstructionOptions:
    """How raw data become pictures.

    rounds: how often the model predicts, 1 to 8; each prediction is made to agree with the raw data. smoothing: steps
    of total variation afterwards, 0 to 100, each of which is made to agree as well. Raises PromptError for others.
    """

    rounds: int = 3
    smoothing: int = 15

    def __post_init__(self) -> None:
        limits = (("rounds", self.rounds, 1, MOST_ROUNDS), ("smoothing", self.smoothing, 0, MOST_SMOOTHING))
        for name, value, low, high in limits:
            if not low <= value <= high:
                raise PromptError(f"{value} {name} of a reconstruction", f"{low} to {high}", "choose another number")


@dataclass(frozen=True, eq=False)
class RawPrompts:
    """Complete volumes of other patients, and what incomplete raw data of them give.

    Without `images` the complete volumes are measured as the query was: along the same lines, from the same angles.
    """

    complete: tuple[Volume, ...]
    images: tuple[Volume, ...] = ()

    def pairs(self, measurement: Measurement) -> tuple[list[Volume], list[Volume]]:
        """Images and targets for a query with this measurement; what is random is the same for every query."""
        if self.images:
            return list(self.images), list(self.complete)
        alike = [
            measurement.alike(volume, np.random.default_rng(number)) for number, volume in enumerate(self.complete)
        ]
        return [as_volume(measured, measured.initial()) for measured in alike], list(self.complete)


def reconstruct(
    predict: Callable[[Volume], Volume], measurement: Measurement, options: ReconstructionOptions
) -> Volume:
    """The volume that agrees with the raw data, on the grid of the measurement.

    predict: an incomplete volume -> the complete one, as examples show it.
    """
    pictures, plane = measurement.initial(), measurement.grid.plane
    for _ in range(options.rounds):
        pictures = measurement.consistent(predict(as_volume(measurement, pictures)).pictures(plane))
    return as_volume(measurement, smoothed(measurement, pictures, options.smoothing))


def smoothed(
    measurement: Measurement, pictures: NDArray[np.float32], steps: int, weight: float = _TV_WEIGHT
) -> NDArray[np.float32]:
    """Pictures (n, rows, cols) after steps of total variation, with a falling weight, and of agreement in turn."""
    low, high = np.percentile(pictures, _PERCENTILES)
    span = max(float(high - low), 1e-6)
    for step in range(steps):
        strength = weight * (1 - _DECAY * step / steps)
        smooth = [denoise_tv_chambolle(picture / span, strength) * span for picture in pictures]
        pictures = measurement.consistent(np.asarray(smooth, np.float32))
    return pictures
