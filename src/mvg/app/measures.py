"""The few figures that the demo prints beside its pictures; each says its region and range."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window, guess_modality


@dataclass(frozen=True)
class Measure:
    """A figure of an answer, and the same figure of a rival that does without a model (None where there is none)."""

    name: str
    value: float
    rival: float | None
    digits: int


def overlaps(answer: LabelMap, truth: LabelMap, rival: LabelMap | None, names: dict[int, str]) -> list[Measure]:
    """Dice of every label over the whole volume, in [0, 1], higher is better."""
    return [
        Measure(
            f"Dice, {name}",
            _dice(answer, truth, value),
            None if rival is None else _dice(rival, truth, value),
            3,
        )
        for value, name in names.items()
    ]


def likenesses(answer: Volume, truth: Volume, rival: Volume | None, region: NDArray[np.bool_] | None) -> list[Measure]:
    """MAE (lower is better), PSNR in dB and SSIM (higher is better) over `region` (X, Y, Z), None for all voxels.

    Intensities are windowed to [0, 1] by the truth: soft tissue for CT, the 0.5 to 99.5 percentiles for others.
    SSIM is scikit-image's with its defaults, slice by slice, averaged over the region.
    """
    window = Window.fit(truth.voxels, guess_modality(truth.voxels))
    where = np.ones(truth.shape, bool) if region is None else region
    right = window.apply(truth.voxels)
    ours = _likeness(window.apply(answer.voxels), right, where)
    theirs = (None,) * 3 if rival is None else _likeness(window.apply(rival.voxels), right, where)
    shown = zip(("MAE", "PSNR (dB)", "SSIM"), ours, theirs, (4, 2, 3), strict=True)
    return [Measure(name, value, other, digits) for name, value, other, digits in shown]


def _dice(one: LabelMap, other: LabelMap, value: int) -> float:
    a, b = one.voxels == value, other.voxels == value
    both = int(a.sum() + b.sum())
    return 2 * int((a & b).sum()) / both if both else 1.0


def _likeness(
    one: NDArray[np.float32], other: NDArray[np.float32], where: NDArray[np.bool_]
) -> tuple[float, float, float]:
    error = (one - other)[where].astype(np.float64)
    axis = int(np.argmin(one.shape))
    similar = np.zeros(one.shape)
    for at in range(one.shape[axis]):
        place = (slice(None),) * axis + (at,)
        similar[place] = structural_similarity(one[place], other[place], data_range=1.0, full=True)[1]
    squared = max(float((error**2).mean()), 1e-12)
    return float(np.abs(error).mean()), float(-10 * np.log10(squared)), float(similar[where].mean())
