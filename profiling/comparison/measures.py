"""How far two versions' predictions of one query are apart."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_DICE, MOST_DECIBELS = 0.999, 0.05
_FLIPPED_SHARE = 10  # one slice in so many may be flipped and left out of the verdict


@dataclass(frozen=True)
class Difference:
    """The comparison of one query.

    verdict: "identical" (bit for bit), "same" (within the tolerances), or "different". differing_slices: numbers along
    the third axis. flipped_slices: those where a label is there in one version alone, as where a threshold is crossed;
    they do not count for the verdict while they are at most one in ten.
    Labels: Dice between the versions, mean over labels, with and without the flipped slices, and both versions' Dice
    with the truth. Pictures: the PSNR with the truth, new less old, in dB, and the largest difference of a voxel.
    """

    verdict: str
    slices: int
    differing_slices: tuple[int, ...]
    differing_voxels: int
    flipped_slices: tuple[int, ...] = ()
    dice: float | None = None
    dice_without_flipped_slices: float | None = None
    dice_per_label: dict[str, float] | None = None
    dice_with_truth: tuple[float, float] | None = None
    decibels: float | None = None
    largest_difference: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields that say something, for the result file."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def label_difference(old: NDArray[Any], new: NDArray[Any], truth: NDArray[Any]) -> Difference:
    """Compare label maps (X, Y, Z)."""
    unequal = old != new
    per_label = dice_per_label(old, new)
    flipped = _flipped(old, new)
    kept = np.setdiff1d(np.arange(old.shape[2]), flipped)
    dice, without = _mean(per_label), _mean(dice_per_label(old[:, :, kept], new[:, :, kept]))
    judged = without if len(flipped) <= old.shape[2] // _FLIPPED_SHARE else dice
    return Difference(
        verdict=_verdict(not unequal.any(), judged >= LEAST_DICE),
        slices=old.shape[2],
        differing_slices=_slices(unequal),
        differing_voxels=int(unequal.sum()),
        flipped_slices=flipped,
        dice=dice,
        dice_without_flipped_slices=without,
        dice_per_label={str(label): round(value, 5) for label, value in per_label.items()},
        dice_with_truth=(_mean(dice_per_label(old, truth)), _mean(dice_per_label(new, truth))),
    )


def picture_difference(
    old: NDArray[Any], new: NDArray[Any], truth: NDArray[Any], region: NDArray[np.bool_] | None
) -> Difference:
    """Compare pictures (X, Y, Z); the PSNR is that of the region, where there is one."""
    unequal = ~((old == new) | (np.isnan(old) & np.isnan(new)))
    decibels = _decibels(old, new, truth, np.ones(old.shape, bool) if region is None else region)
    return Difference(
        verdict=_verdict(not unequal.any(), abs(decibels) <= MOST_DECIBELS),
        slices=old.shape[2],
        differing_slices=_slices(unequal),
        differing_voxels=int(unequal.sum()),
        decibels=decibels,
        largest_difference=float(np.abs(old.astype(np.float64) - new).max()),
    )


def dice_per_label(one: NDArray[Any], other: NDArray[Any]) -> dict[int, float]:
    """Dice of each label that occurs in either map, background left out."""
    labels = [int(label) for label in np.union1d(one, other) if label != 0]
    return {
        label: float(2 * ((one == label) & (other == label)).sum() / ((one == label).sum() + (other == label).sum()))
        for label in labels
    }


def _mean(dice: dict[int, float]) -> float:
    return round(float(np.mean(list(dice.values()))), 5) if dice else 1.0


def _flipped(old: NDArray[Any], new: NDArray[Any]) -> tuple[int, ...]:
    return tuple(at for at in range(old.shape[2]) if set(np.unique(old[:, :, at])) != set(np.unique(new[:, :, at])))


def _slices(unequal: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(at) for at in np.flatnonzero(unequal.any(axis=(0, 1))))


def _decibels(old: NDArray[Any], new: NDArray[Any], truth: NDArray[Any], region: NDArray[np.bool_]) -> float:
    """PSNR of the new picture less that of the old one; the peak is the same for both and drops out."""
    old_error, new_error = (np.square(one[region].astype(np.float64) - truth[region]).mean() for one in (old, new))
    if old_error == new_error:
        return 0.0
    return round(float(10 * np.log10(max(old_error, 1e-12) / max(new_error, 1e-12))), 5)


def _verdict(identical: bool, within_tolerance: bool) -> str:
    if identical:
        return "identical"
    return "same" if within_tolerance else "different"
