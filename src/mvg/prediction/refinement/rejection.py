"""Labels that are too improbable in a slice are removed there; the prompts determine how probable they must be.

Labels are often drawn beyond their ends, with a lower probability. How much lower depends on the task, so each prompt
volume is predicted from the others to find out.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mvg.prediction.inference.context import PredictionContext
from mvg.prediction.inference.held_out import held_out_outputs
from mvg.prediction.inference.parallel import in_parallel
from mvg.prediction.inference.prompt_cache import PromptCache
from mvg.prediction.inference.volume_prediction import VolumePrediction
from mvg.prediction.options import PredictionOptions
from mvg.prediction.selection.retrieval import evenly_spaced

_VOLUMES, _SLICES = 8, 8  # prompt volumes that are predicted, and slices of each
_LEVELS = np.array([0, 0.6, 0.65, 0.7, 0.75, 0.8, 0.84, 0.87, 0.9])  # thresholds that are compared
_MIN_GAIN = 0.01  # mean gain in Dice, below which nothing is removed
_MIN_RECALL = 0.95  # share of the correctly labeled pixels that must remain


def refine(context: PredictionContext, prediction: VolumePrediction) -> VolumePrediction:
    """Remove each label, in place, from the slices where its mean probability is below its threshold."""
    minimum = _minimum_probabilities(context, prediction)
    if minimum is None:
        return prediction
    rejected = (prediction.area > 0) & (prediction.confidence < minimum)
    for number in np.flatnonzero(rejected.any(axis=1)):
        pixels = prediction.pixels[number]
        pixels[np.isin(pixels, 1 + np.flatnonzero(rejected[number]))] = 0
    return replace(prediction, rejected=rejected)


def _minimum_probabilities(context: PredictionContext, prediction: VolumePrediction) -> NDArray[np.float32] | None:
    """The threshold of each class (K,); None where nothing can be removed."""
    chosen = context.options.min_probability
    if not context.prompts.has_labels or chosen == 0:
        return None
    if chosen is not None:
        return np.full(len(context.prompts.values), chosen, np.float32)
    confidences = prediction.confidence[prediction.area > 0]
    if not len(confidences) or confidences.min() >= _LEVELS[-1]:
        return None  # no threshold could remove anything
    return thresholds(context.cache, context.options)


def thresholds(cache: PromptCache, options: PredictionOptions) -> NDArray[np.float32]:
    """The threshold of each class (K,) that the prompts determine; computed once and kept with the prompts.

    It is the level that is best for the prompts' own slices, predicted from the other prompt volumes, if it is clearly
    better than none and removes little that is right. 0 with a single prompt volume.
    """
    key = options.choice_of_prompts
    with cache.lock:
        if key not in cache.thresholds:
            cache.thresholds[key] = _determined(cache, options)
        return cache.thresholds[key]


def keep_thresholds(cache: PromptCache, options: PredictionOptions, minimum: NDArray[np.float32]) -> None:
    """Use these thresholds of the classes (K,), which were determined elsewhere."""
    with cache.lock:
        cache.thresholds[options.choice_of_prompts] = minimum


def _determined(cache: PromptCache, options: PredictionOptions) -> NDArray[np.float32]:
    volumes = np.unique(cache.prompts.volume)
    minimum = np.zeros(len(cache.prompts.values), np.float32)
    if len(volumes) < 2:
        return minimum
    sample = evenly_spaced(volumes, _VOLUMES).tolist()
    measured = list(in_parallel(lambda volume: _measured(cache, options, volume), sample))
    cache.held_out = {volume: _mean_dice(slices) for volume, slices in zip(sample, measured, strict=True)}
    return best_levels(measured)


def best_levels(volumes: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    """The level for each class (K,), from volumes of slices (n, K, 4), see `label_counts`."""
    classes = range(volumes[0].shape[1])
    return np.array([best_level([slices[:, number] for slices in volumes]) for number in classes], np.float32)


def best_level(volumes: Sequence[NDArray[np.float64]]) -> float:
    """The level for one class, from volumes of slices (n, 4): probability, predicted, true and correct pixels."""
    gains = np.array([_dice(slices) for slices in volumes])
    gains -= gains[:, :1]
    mean, standard_error = gains.mean(axis=0), gains.std(axis=0, ddof=1) / len(gains) ** 0.5
    harmless = _recall(volumes) > _MIN_RECALL
    gain = np.where(harmless & (mean > _MIN_GAIN) & (mean > standard_error), mean, 0)
    return float(_LEVELS[int(gain.argmax())])


def _dice(slices: NDArray[np.float64]) -> NDArray[np.float64]:
    """A volume's Dice at each level, from its slices (n, 4); 1 where nothing is predicted and nothing is true."""
    probability, predicted, true, correct = slices.T
    kept = probability >= _LEVELS[:, None]
    total = (kept * predicted).sum(axis=1) + true.sum()
    return np.where(total > 0, 2 * (kept * correct).sum(axis=1) / np.maximum(total, 1), 1.0)


def _mean_dice(slices: NDArray[np.float64]) -> float:
    """A volume's mean Dice over the classes that it shows, from its slices (n, K, 4)."""
    predicted, true, correct = slices[..., 1:].sum(axis=0).T
    present = true > 0
    return float((2 * correct[present] / (predicted + true)[present]).mean()) if present.any() else 1.0


def _recall(volumes: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The share of the correct pixels of volumes (n, 4) that each level keeps."""
    probability, _, _, correct = np.concatenate(volumes).T
    return np.asarray(((probability >= _LEVELS[:, None]) * correct).sum(axis=1) / max(correct.sum(), 1))


def _measured(cache: PromptCache, options: PredictionOptions, volume: int) -> NDArray[np.float64]:
    """Slices of a prompt volume predicted from the others (n, K, 4), see `label_counts`."""
    prompts = cache.prompts
    sample = evenly_spaced(np.flatnonzero(prompts.volume == volume), _SLICES).tolist()
    outputs = held_out_outputs(cache, options, volume, sample)
    rows = [
        label_counts(output.mean[0].numpy(), prompts.targets[number])
        for number, output in zip(sample, outputs, strict=True)
    ]
    return np.array(rows, np.float64)


def label_counts(probabilities: NDArray[np.float32], truth: NDArray[np.uint8]) -> list[tuple[float, int, int, int]]:
    """For each class its mean probability where it is predicted, and its predicted, true and correct pixels.

    probabilities: (K + 1, s, s), background first; truth (s, s): class numbers.
    """
    numbers, row = probabilities.argmax(0), []
    for number in range(1, len(probabilities)):
        predicted, true = numbers == number, truth == number
        probability = float(probabilities[number][predicted].mean()) if predicted.any() else 0.0
        row.append((probability, int(predicted.sum()), int(true.sum()), int((predicted & true).sum())))
    return row
