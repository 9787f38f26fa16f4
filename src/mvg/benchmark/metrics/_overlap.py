"""Counts the voxels that a prediction shares with the truth, label by label, for the overlap metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.benchmark.protocol.metric import MetricInput, Score


@dataclass(frozen=True)
class Overlap:
    """Numbers of voxels of one label, of which prediction or truth have some."""

    intersection: int
    predicted: int
    true: int

    @property
    def iou(self) -> float:
        """Intersection over union, in [0, 1]."""
        return self.intersection / (self.predicted + self.true - self.intersection)

    @property
    def dice(self) -> float:
        """Twice the intersection over the sum of both sizes, in [0, 1]."""
        return 2 * self.intersection / (self.predicted + self.true)


def overlaps(prediction: NDArray[Any], truth: NDArray[Any]) -> dict[int, Overlap]:
    """The overlap of every label of prediction or truth, by value; two label arrays of one shape."""
    labeled = (prediction != 0) | (truth != 0)
    predicted, true = prediction[labeled], truth[labeled]
    values = np.unique(np.concatenate((np.unique(predicted), np.unique(true), [0]))).astype(np.int64)
    count, background = len(values), int(np.searchsorted(values, 0))
    pairs = np.searchsorted(values, predicted) * count + np.searchsorted(values, true)
    confusion = np.bincount(pairs, minlength=count * count).reshape(count, count)
    return {
        int(value): Overlap(int(confusion[at, at]), int(confusion[at].sum()), int(confusion[:, at].sum()))
        for at, value in enumerate(values)
        if at != background
    }


@lru_cache(maxsize=1)  # several metrics measure one prediction in turn
def case_overlaps(inputs: MetricInput) -> dict[int, Overlap]:
    """The overlap of every label of a case's prediction or truth, by value."""
    return overlaps(inputs.prediction.voxels, inputs.truth.voxels)


def mean_over_labels(values: Mapping[int, float], inputs: MetricInput, if_empty: float) -> list[Score]:
    """The mean over labels as the score of a case; `if_empty` where neither side has a label."""
    by_label = {inputs.label_names.get(label, f"label {label}"): float(value) for label, value in values.items()}
    return [Score("whole", float(np.mean(list(by_label.values()))) if by_label else if_empty, by_label)]
