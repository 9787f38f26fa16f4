"""Which moment of the training, and which share of its change, helps in volumes that were left out.

The same volumes say how probable a corrected label must be in a slice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mvg.model.adapter import AdapterConfig, Corrector, corrected
from mvg.prediction.refinement.rejection import best_levels, label_counts
from mvg.prediction.selection.retrieval import evenly_spaced
from mvg.prediction.stacked import StackedSlices

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of a change that are compared; with the first one nothing is changed."""
_MIN_GAIN = {"labels": 0.003, "image": 0.05}  # mean gain over the volumes (IoU, dB), below which nothing is changed
_CHECKED, _MIN_CHECKED = 160, 6  # slices of a scale that are predicted, of all volumes, and at least of each
_BATCH = 16
_SMALLEST_ERROR = 1e-10


@dataclass(frozen=True)
class AdapterChoice:
    """A moment of the training, and the shares of the change in whole and in magnified slices.

    before, after: the mean score of the volumes, at the scale of the final prediction.
    """

    snapshot: int
    whole: float
    zoom: float
    before: float
    after: float


def folds_of(volume: NDArray[np.int64], count: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """All volume numbers in at most `count` parts."""
    volumes = rng.permutation(np.unique(volume))
    return [volumes[start::count] for start in range(min(count, len(volumes)))]


def choose(
    slices: StackedSlices,
    folds: Sequence[NDArray[np.int64]],
    members: Sequence[Sequence[Corrector]],
    config: AdapterConfig,
) -> AdapterChoice:
    """Compare all moments and shares; `members`: per fold the correctors trained without it, one per moment.

    Magnified slices decide where there are any, since they replace what whole slices show.
    """
    choices = []
    for snapshot in range(len(members[0])):
        used = [of_fold[snapshot] for of_fold in members]
        by_scale = []
        for zoomed in (False, True):
            scores = _scores(slices, folds, used, config, slices.zoomed == zoomed)
            by_scale.append((best_strength(scores, _MIN_GAIN[config.target_type]), scores))
        (whole, _), (zoom, _) = by_scale
        best, scores = by_scale[bool(slices.zoomed.any())]
        means = scores.mean(1)
        choices.append(AdapterChoice(snapshot, STRENGTHS[whole], STRENGTHS[zoom], float(means[0]), float(means[best])))
    return max(choices, key=lambda choice: choice.after)


@torch.inference_mode()
def thresholds(
    slices: StackedSlices,
    folds: Sequence[NDArray[np.int64]],
    members: Sequence[Corrector],
    strength: float,
    zoomed: bool,
) -> NDArray[np.float32]:
    """Minimum probabilities of the classes (K,) at one scale, from slices that a member did not learn from.

    members: of each fold the corrector that is used. See `refinement.rejection`.
    """
    left_out = _left_out(slices, folds, members, slices.zoomed == zoomed)
    volumes = [_measured(slices, rows, member, strength) for rows, member in left_out]
    classes = slices.inputs.prediction.shape[1] - 1
    return best_levels(volumes) if len(volumes) > 1 else np.zeros(classes, np.float32)


def _measured(
    slices: StackedSlices, rows: NDArray[np.int64], member: Corrector, strength: float
) -> NDArray[np.float64]:
    """Slices (n, K, 4) of one volume, see `rejection.label_counts`."""
    result = []
    for prediction, change, targets in _changes(slices, rows, member):
        output = corrected(prediction, strength * change, "labels").numpy()
        truth = targets[:, 0].numpy().astype(np.uint8)
        result += [label_counts(probabilities, numbers) for probabilities, numbers in zip(output, truth, strict=True)]
    return np.array(result, np.float64)


def best_strength(scores: Float[NDArray[np.float64], "strengths volumes"], min_gain: float) -> int:
    """The number of the share with the best score of volumes, if it is certain; 0, no change, otherwise.

    Certain is a mean gain of at least `min_gain` that exceeds its own standard error.
    """
    if scores.shape[1] < 2:
        return 0
    gains = scores - scores[:1]
    mean, error = gains.mean(1), gains.std(1, ddof=1) / gains.shape[1] ** 0.5
    certain = np.where((mean >= min_gain) & (mean > error), mean, 0.0)
    return int(certain.argmax())


@torch.inference_mode()
def _scores(
    slices: StackedSlices,
    folds: Sequence[NDArray[np.int64]],
    members: Sequence[Corrector],
    config: AdapterConfig,
    which: NDArray[np.bool_],
) -> Float[NDArray[np.float64], "strengths volumes"]:
    """The score of every volume with slices among `which`, from the corrector that did not learn from it.

    Of many slices some are measured, so that this takes little time beside the training.
    """
    count = max(_MIN_CHECKED, _CHECKED // sum(len(fold) for fold in folds))
    left_out = _left_out(slices, folds, members, which)
    columns = [_volume_scores(slices, evenly_spaced(rows, count), member, config) for rows, member in left_out]
    return np.stack(columns, axis=1) if columns else np.zeros((len(STRENGTHS), 0))


def _left_out(
    slices: StackedSlices, folds: Sequence[NDArray[np.int64]], members: Sequence[Corrector], which: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.int64], Corrector]]:
    """For each volume with slices among `which` (n,) their rows, and the corrector that did not learn from it."""
    for fold, member in zip(folds, members, strict=True):
        for volume in fold:
            rows = np.flatnonzero((slices.volume == volume) & which)
            if len(rows):
                yield rows, member


def _changes(slices: StackedSlices, rows: NDArray[np.int64], member: Corrector) -> Iterator[tuple[Tensor, ...]]:
    """Some rows at a time: their predictions (b, k, s, s), what a corrector adds to them, and targets (b, 1, s, s)."""
    device = next(member.parameters()).device
    for start in range(0, len(rows), _BATCH):
        inputs, targets = slices.batch(rows[start : start + _BATCH])
        yield inputs.prediction, member(inputs.map(lambda part: part.to(device))).cpu(), targets


def _volume_scores(
    slices: StackedSlices, rows: NDArray[np.int64], member: Corrector, config: AdapterConfig
) -> NDArray[np.float64]:
    """The score of one volume with each share: the mean IoU of its labels, or the PSNR of its pictures in dB."""
    sums = torch.zeros(len(STRENGTHS), 3, config.channels)
    for prediction, change, targets in _changes(slices, rows, member):
        for number, strength in enumerate(STRENGTHS):
            output = corrected(prediction, strength * change, config.target_type)
            sums[number] += _counts(output, targets) if config.target_type == "labels" else _errors(output, targets)
    first, second, third = sums.double().numpy().swapaxes(0, 1)
    if config.target_type != "labels":
        return np.asarray(-10 * np.log10(np.maximum(first[:, 0] / second[:, 0], _SMALLEST_ERROR)))
    union = (second + third - first)[:, 1:]
    iou = np.where(union > 0, first[:, 1:] / np.maximum(union, 1), np.nan)
    return np.asarray([np.nanmean(row) if np.isfinite(row).any() else 1.0 for row in iou])


def _counts(output: Float[Tensor, "b k s s"], targets: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "three k"]:
    """Correct, predicted and true pixels of every class."""
    classes = torch.arange(output.shape[1])[:, None, None, None]
    predicted, true = output.argmax(1) == classes, targets[:, 0] == classes
    return torch.stack([part.sum((1, 2, 3)) for part in (predicted & true, predicted, true)]).float()


def _errors(output: Float[Tensor, "b 1 s s"], targets: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "three one"]:
    """The sum of squared errors, the number of pixels, and 0."""
    return torch.tensor([[float(((output - targets) ** 2).sum())], [float(targets.numel())], [0.0]])
