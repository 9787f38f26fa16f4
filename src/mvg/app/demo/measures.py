"""The measures that the demo prints beside its pictures: the benchmark's metrics, of a prediction and of a rival."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvg.benchmark.metrics import dice, mae, psnr, ssim
from mvg.benchmark.protocol.metric import Metric, MetricInput
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window, guess_modality

_DIGITS = {"MAE": 4, "PSNR": 2, "SSIM": 3}


@dataclass(frozen=True)
class Measure:
    """A measure of a prediction, and the same of a rival that needs no model (None where there is none)."""

    name: str
    value: float
    rival: float | None
    digits: int

    @property
    def text(self) -> str:
        """The value with its digits."""
        return f"{self.value:.{self.digits}f}"

    @property
    def rival_text(self) -> str:
        """The rival's value with its digits, or ""."""
        return "" if self.rival is None else f"{self.rival:.{self.digits}f}"


def label_measures(
    prediction: LabelMap, truth: LabelMap, rival: LabelMap | None, names: dict[int, str]
) -> list[Measure]:
    """Dice of each label over the whole volume, in [0, 1], higher is better. names: of the label values."""

    def dice_of(labels: LabelMap) -> dict[str, float]:
        (figure,) = dice.METRIC.measure(MetricInput(labels, truth, truth.plane, names, None, {"whole": None}))
        return figure.by_label  # a label that neither volume holds has no part, and counts as right

    ours, theirs = dice_of(prediction), None if rival is None else dice_of(rival)
    return [
        Measure(f"Dice, {name}", ours.get(name, 1.0), None if theirs is None else theirs.get(name, 1.0), 3)
        for name in names.values()
    ]


def image_measures(
    prediction: Volume, truth: Volume, rival: Volume | None, region: NDArray[np.bool_] | None
) -> list[Measure]:
    """MAE (lower is better), PSNR in dB and SSIM (higher is better) over `region` (X, Y, Z), None for all voxels.

    The truth's window maps intensities to [0, 1]: soft tissue for CT, the 0.5 to 99.5 percentiles for others.
    """
    window = Window.fit(truth.voxels, guess_modality(truth.voxels))

    def value_of(metric: Metric, volume: Volume) -> float:
        return metric.measure(MetricInput(volume, truth, truth.plane, {}, window, {"region": region}))[0].value

    return [
        Measure(
            f"{metric.name} ({metric.unit})" if metric.unit else metric.name,
            value_of(metric, prediction),
            None if rival is None else value_of(metric, rival),
            _DIGITS[metric.name],
        )
        for metric in (mae.METRIC, psnr.METRIC, ssim.METRIC)
    ]
