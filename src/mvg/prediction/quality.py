"""An estimate of a segmentation's quality without its truth: how probable its labels are, in the scale of Dice.

The network is surer than it is right. So the mean probability of a label is raised to a power that was fitted on
validation patients (`profiling/quality.py`). It costs nothing beyond the prediction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mvg.imaging.volume import LabelMap
from mvg.prediction.result import Prediction

EXPONENT = 3.2
"""Dice is about the mean probability to this power: `profiling/results/quality.json`."""


@dataclass(frozen=True)
class Quality:
    """Estimates in [0, 1] of the Dice: the mean over the labels that were predicted, and by label value."""

    mean: float = 0.0
    by_label: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, by_label: Mapping[int, float]) -> "Quality":
        """With the mean over the labels; 0 without any."""
        return cls(float(np.mean(list(by_label.values()))), by_label) if by_label else cls()


def quality_of(prediction: Prediction) -> Quality | None:
    """Estimates of the Dice of a prediction and of each of its labels; 0 where it is empty, None for pictures.

    None also for predictions without `confidence`, as those of sessions are.
    """
    if prediction.confidence is None or not isinstance(prediction.volume, LabelMap):
        return None
    return Quality.of({value: sure**EXPONENT for value, sure in prediction.confidence.labels.items()})


def expected_quality(labeled: Mapping[int, int], wrong: Mapping[int, float]) -> Quality:
    """The Dice to expect of labels with so many labeled and so many likely wrong pixels, by label value.

    Labels without a labeled pixel do not count. Raises KeyError for a label without its likely wrong pixels.
    """
    return Quality.of({value: expected_dice(pixels, wrong[value]) for value, pixels in labeled.items() if pixels})


def expected_dice(labeled: int, wrong: float) -> float:
    """The Dice to expect of a segmentation with `labeled` pixels of which, and around which, `wrong` are likely wrong.

    Half of the wrong pixels are taken as labeled too much and half as labeled too little. 0 without labeled pixels.
    """
    return max(0.0, 1 - wrong / (2 * labeled)) if labeled else 0.0
