"""Reconstruction from raw data: smoothing, regression and the model in turn, each made to agree with what was measured.

Complete volumes of other patients are the examples. They are measured as the query was and go the same way, so that
each step learns from examples in the state that the query has by then.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import denoise_tv_chambolle

from mvg.errors import PromptError
from mvg.imaging.volume import Volume
from mvg.prediction.patch_regression import PatchRegression
from mvg.tasks.case_pair import thinned
from mvg.tasks.measurement import Measurement, as_volume

MOST_ROUNDS, MOST_SMOOTHING = 8, 100
_TV_WEIGHT = 0.02  # of total variation, where the intensities that are there span 1
_DECAY = 0.9  # of the weight, by the last step
_PERCENTILES = (0.5, 99.5)
_REGRESSIONS = 2  # one after the other; the second learns from what the first leaves
_EXAMPLE_SLICES = 24  # of all examples together, evenly spaced: more cost time and add little

Learn = Callable[[list[Volume], list[Volume]], Callable[[Volume], Volume]]
"""(incomplete volumes, the complete ones) -> what the model does to other incomplete volumes."""


@dataclass(frozen=True)
class ReconstructionOptions:
    """How raw data become pictures.

    smoothing: steps of total variation, 0 to 100, each of which is made to agree with the raw data; rounds: how often
    the model predicts afterwards, 0 to 8. Raises PromptError for others.
    """

    rounds: int = 2
    smoothing: int = 15

    def __post_init__(self) -> None:
        limits = (("rounds", self.rounds, MOST_ROUNDS), ("smoothing", self.smoothing, MOST_SMOOTHING))
        for name, value, high in limits:
            if not 0 <= value <= high:
                raise PromptError(f"{value} {name} of a reconstruction", f"0 to {high}", "choose another number")


@dataclass(frozen=True, eq=False)
class _Estimate:
    """Pictures (n, rows, cols) that the raw data may come from, beside those that the raw data give alone."""

    measurement: Measurement
    initial: NDArray[np.float32]
    pictures: NDArray[np.float32]

    @classmethod
    def smooth(cls, measurement: Measurement, steps: int) -> "_Estimate":
        initial = measurement.initial()
        return cls(measurement, initial, smoothed(measurement, initial, steps))

    def scaled(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Intensities on the scale of the regression."""
        low, span = _range(self.initial)
        return np.asarray((pictures - low) / span, np.float32)

    @property
    def channels(self) -> NDArray[np.float32]:
        return np.stack([self.scaled(self.pictures), self.scaled(self.initial)])

    @property
    def volume(self) -> Volume:
        return as_volume(self.measurement, self.pictures)

    def corrected(self, regression: PatchRegression) -> "_Estimate":
        low, span = _range(self.initial)
        return self.changed(regression(self.channels) * span + low)

    def changed(self, pictures: NDArray[np.float32]) -> "_Estimate":
        """Other pictures, made to agree with the raw data."""
        return _Estimate(self.measurement, self.initial, self.measurement.consistent(pictures))


def reconstruct(
    learn: Learn, measurement: Measurement, complete: Sequence[Volume], options: ReconstructionOptions
) -> Volume:
    """The volume that agrees with the raw data, on the grid of the measurement.

    complete: volumes of other patients, at least one. Raises PromptError for none.
    """
    if not complete:
        raise PromptError("no complete volumes", "at least one, of another patient", "add some")
    targets = [thinned(volume, volume.plane, max(1, _EXAMPLE_SLICES // len(complete))) for volume in complete]
    alike = [measurement.alike(target, np.random.default_rng(number)) for number, target in enumerate(targets)]
    examples = [_Estimate.smooth(one, options.smoothing) for one in alike]
    query = _Estimate.smooth(measurement, options.smoothing)
    truths = [
        one.scaled(np.asarray(target.pictures(target.plane), np.float32))
        for one, target in zip(examples, targets, strict=True)
    ]
    for _ in range(_REGRESSIONS):
        regression = PatchRegression.fit([(one.channels, truth) for one, truth in zip(examples, truths, strict=True)])
        examples, query = [one.corrected(regression) for one in examples], query.corrected(regression)
    if options.rounds:
        predict = learn([one.volume for one in examples], targets)
        for _ in range(options.rounds):
            query = query.changed(predict(query.volume).pictures(measurement.grid.plane))
    return query.volume


def smoothed(
    measurement: Measurement, pictures: NDArray[np.float32], steps: int, weight: float = _TV_WEIGHT
) -> NDArray[np.float32]:
    """Pictures (n, rows, cols) after steps of total variation, with a falling weight, and of agreement in turn."""
    _, span = _range(pictures)
    for step in range(steps):
        strength = weight * (1 - _DECAY * step / steps)
        smooth = [denoise_tv_chambolle(picture / span, strength) * span for picture in pictures]
        pictures = measurement.consistent(np.asarray(smooth, np.float32))
    return pictures


def _range(pictures: NDArray[np.float32]) -> tuple[np.float32, np.float32]:
    """The lowest of the intensities that are there, and how far they reach."""
    low, high = np.percentile(pictures, _PERCENTILES)
    return np.float32(low), np.float32(max(float(high - low), 1e-6))
