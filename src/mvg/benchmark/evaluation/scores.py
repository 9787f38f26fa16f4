"""The figures of one case: the benchmark's metrics for each label, with volumes, or for each region of a picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mvg.benchmark.metrics import dice, hd95, iou, mae, nsd, psnr, ssim
from mvg.benchmark.metrics._overlap import case_overlaps
from mvg.benchmark.protocol.cases import picture_range
from mvg.benchmark.protocol.metric import Metric, MetricInput, Score
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import guess_modality


@dataclass(frozen=True)
class Quantity:
    """A column: `key` in files, `name` and `unit` on pages, and which direction is better ("" for neither)."""

    key: str
    name: str
    unit: str
    better: Literal["higher", "lower", ""]
    definition: str

    @property
    def title(self) -> str:
        """The name, with the unit in parentheses."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def digits(self) -> int:
        """The decimals that are printed."""
        return 3 if not self.unit else 2

    def text(self, value: float) -> str:
        """The value with these decimals; a dash where there is none."""
        return "–" if math.isnan(value) else f"{value:.{self.digits}f}"


@dataclass(frozen=True)
class PartScores:
    """The figures of one label (its value) or of one region of a picture (its name), in the order of quantities."""

    part: int | str
    figures: tuple[float, ...]


@dataclass(frozen=True)
class CaseScores:
    """The figures of a case.

    overall: of the whole case, the mean over its labels as the benchmark reports it; of pictures, that of the first
    region; volumes have none (NaN). parts: of each label that prediction or truth has, or of each region.
    """

    overall: tuple[float, ...]
    parts: tuple[PartScores, ...]


def _quantity(metric: Metric) -> Quantity:
    unit = metric.unit
    key = "_".join([metric.name.lower(), *([unit.lower()] if unit else [])])
    return Quantity(key, metric.name, unit, metric.better, f"{metric.definition}; {metric.aggregation}")


_LABEL_METRICS = (dice.METRIC, iou.METRIC, nsd.METRIC, hd95.METRIC)
_IMAGE_METRICS = (psnr.METRIC, ssim.METRIC, mae.METRIC)
_COUNTED = "voxels of the label times the volume of a voxel"
LABEL_QUANTITIES = (
    *map(_quantity, _LABEL_METRICS),
    Quantity("predicted_ml", "predicted volume", "ml", "", _COUNTED),
    Quantity("true_ml", "true volume", "ml", "", _COUNTED),
    Quantity("difference_ml", "volume difference", "ml", "", "predicted volume minus true volume"),
)
"""The columns for label maps: overlap, surface distances and volumes."""
IMAGE_QUANTITIES = tuple(map(_quantity, _IMAGE_METRICS))
"""The columns for pictures."""


def check_label_metrics() -> None:
    """Raises BenchmarkError where a library that the metrics of labels need is missing."""
    for metric in _LABEL_METRICS:
        metric.check()


def label_scores(prediction: LabelMap, truth: LabelMap) -> CaseScores:
    """The figures of each label that prediction or truth has; both lie on one grid.

    A label that only one of them has counts with Dice, IoU and NSD 0, and with the volume's diagonal as HD95. A case
    without any label on either side has no parts and the best figures.
    """
    inputs = MetricInput(prediction, truth, truth.plane, {}, None, {"whole": None})
    scores = [_only(metric.measure(inputs)) for metric in _LABEL_METRICS]
    voxel = abs(float(np.linalg.det(truth.affine[:3, :3]))) / 1000
    parts = []
    for value, overlap in case_overlaps(inputs).items():
        predicted, true = overlap.predicted * voxel, overlap.true * voxel
        figures = [score.by_label[f"label {value}"] for score in scores]
        parts.append(PartScores(value, (*figures, predicted, true, predicted - true)))
    volumes = len(LABEL_QUANTITIES) - len(_LABEL_METRICS)
    return CaseScores((*(score.value for score in scores), *[math.nan] * volumes), tuple(parts))


def image_scores(prediction: Volume, truth: Volume, modality: str | None = None) -> CaseScores:
    """The figures of a predicted picture in the body and in the whole image; both lie on one grid.

    modality: "CT" for images in HU, None guesses from the truth.
    """
    window, is_body, _ = picture_range(truth, modality or guess_modality(truth.voxels))
    regions = {"body": is_body, "whole": None}
    inputs = MetricInput(prediction, truth, truth.plane, {}, window, regions)
    by_metric = [{score.region: score.value for score in metric.measure(inputs)} for metric in _IMAGE_METRICS]
    names = [name for name in regions if any(name in values for values in by_metric)]
    parts = tuple(PartScores(name, tuple(values.get(name, math.nan) for values in by_metric)) for name in names)
    return CaseScores(parts[0].figures, parts)


def _only(scores: Sequence[Score]) -> Score:
    (score,) = scores
    return score
