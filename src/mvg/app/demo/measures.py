"""The few figures that the demo prints beside its pictures: the benchmark's metrics, of an answer and of a rival."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvg.benchmark.metrics import dice, mae, psnr, ssim
from mvg.benchmark.protocol.metric import Metric, Score
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window, guess_modality

_DIGITS = {"MAE": 4, "PSNR": 2, "SSIM": 3}


@dataclass(frozen=True)
class Measure:
    """A figure of an answer, and the same figure of a rival that does without a model (None where there is none)."""

    name: str
    value: float
    rival: float | None
    digits: int


def overlaps(answer: LabelMap, truth: LabelMap, rival: LabelMap | None, names: dict[int, str]) -> list[Measure]:
    """Dice of every label over the whole volume, in [0, 1], higher is better."""

    def parts(some: LabelMap) -> dict[str, float]:
        judged = Score(some, truth, truth.plane, names, None, {"whole": None})
        (figure,) = dice.METRIC.measure(judged)
        return figure.parts  # a label that neither holds has no part, and is right

    ours, theirs = parts(answer), None if rival is None else parts(rival)
    return [
        Measure(f"Dice, {name}", ours.get(name, 1.0), None if theirs is None else theirs.get(name, 1.0), 3)
        for name in names.values()
    ]


def likenesses(answer: Volume, truth: Volume, rival: Volume | None, region: NDArray[np.bool_] | None) -> list[Measure]:
    """MAE (lower is better), PSNR in dB and SSIM (higher is better) over `region` (X, Y, Z), None for all voxels.

    Intensities are windowed to [0, 1] by the truth: soft tissue for CT, the 0.5 to 99.5 percentiles for others.
    """
    window = Window.fit(truth.voxels, guess_modality(truth.voxels))

    def figure(metric: Metric, some: Volume) -> float:
        return metric.measure(Score(some, truth, truth.plane, {}, window, {"region": region}))[0].value

    return [
        Measure(
            f"{metric.name} ({metric.unit})" if metric.unit else metric.name,
            figure(metric, answer),
            None if rival is None else figure(metric, rival),
            _DIGITS[metric.name],
        )
        for metric in (mae.METRIC, psnr.METRIC, ssim.METRIC)
    ]
