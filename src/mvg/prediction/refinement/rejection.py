"""How sure a label has to be in a slice to be kept there: told by the prompts, each answered from the others.

A label that ends within a volume is often outlined beyond its ends, less surely than where it is. How much less differs
from task to task, but prompts know where their own labels end.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from mvg.model.generalist import Generalist
from mvg.prediction.inference.ensemble import PredictionOptions, answer
from mvg.prediction.inference.prompt_cache import PromptCache, PromptView, draw_colors
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.selection.retrieval import PromptIndex, choose, spaced

_VOLUMES, _SLICES = 8, 8  # prompt volumes that are asked about, and slices of each
_LEVELS = np.array([0, 0.6, 0.65, 0.7, 0.75, 0.8, 0.84, 0.87, 0.9])  # mean probabilities
_WORTH = 0.01  # mean gain in Dice, below which nothing is dropped
_KEPT = 0.95  # least share of what was rightly found that has to stay


def rejection_thresholds(
    model: Generalist, cache: PromptCache, examples: PromptSet, settings: PredictionOptions
) -> NDArray[np.float32]:
    """The least mean probability (K,) at which each class is kept in a slice: that which is best for the prompts' own
    slices, answered from other prompt volumes, if it is surely better than none and costs little that is right. 0 where
    there is one volume alone.
    """
    volumes = np.unique(examples.volume)
    least = np.zeros(len(examples.values), np.float32)
    if len(volumes) < 2:
        return least
    shelf = replace(examples.shelf, features=cache.features)
    some = spaced(volumes, _VOLUMES)
    found = [_answered(model, cache, examples, settings, shelf, int(volume)) for volume in some]
    for number in range(len(least)):
        gains = np.array([_dice(slices[:, number]) for slices in found])
        gains -= gains[:, :1]
        mean, error = gains.mean(axis=0), gains.std(axis=0, ddof=1) / len(gains) ** 0.5
        harmless = _kept([slices[:, number] for slices in found]) > _KEPT
        sure = np.where(harmless & (mean > _WORTH) & (mean > error), mean, 0)
        least[number] = _LEVELS[int(sure.argmax())]
    return least


def _dice(slices: NDArray[np.float64]) -> NDArray[np.float64]:
    """A volume's Dice at each of the levels, from its slices (n, 4); 1 where nothing is and nothing was found."""
    sure, said, shown, right = slices.T
    kept = sure >= _LEVELS[:, None]
    total = (kept * said).sum(axis=1) + shown.sum()
    return np.where(total > 0, 2 * (kept * right).sum(axis=1) / np.maximum(total, 1), 1.0)


def _kept(volumes: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The share of what was rightly found in volumes (n, 4) that is left at each of the levels."""
    sure, _, _, right = np.concatenate(volumes).T
    return np.asarray(((sure >= _LEVELS[:, None]) * right).sum(axis=1) / max(right.sum(), 1))


def _answered(
    model: Generalist,
    cache: PromptCache,
    examples: PromptSet,
    settings: PredictionOptions,
    shelf: PromptIndex,
    volume: int,
) -> NDArray[np.float64]:
    """Some slices of a prompt volume from the other volumes: of every class (n, K, 4) how sure it is where it was
    found, and how many pixels were found, are shown, and are both.
    """
    others, places = shelf.without(volume)
    rows = []
    for at in spaced(np.flatnonzero(examples.volume == volume), _SLICES).tolist():
        rng = np.random.default_rng(settings.seed)
        found = choose(settings.strategy, shelf.as_query(at), others, settings.num_prompts, rng)
        chosen = tuple(sorted(places[list(found)].tolist()))
        painted = model.config.paints
        colors = draw_colors(examples.shows(chosen), 0, rng, settings.colors) if painted else None
        square = torch.from_numpy(examples.image([at]))[:, None]
        chance = answer(model, cache, examples, square, (PromptView(chosen, colors=colors),)).mean[0].numpy()
        rows.append(_counted(chance, examples.targets[at]))
    return np.array(rows, np.float64)


def _counted(chance: NDArray[np.float32], truth: NDArray[np.uint8]) -> list[tuple[float, int, int, int]]:
    """What `_answered` says of the classes in one slice, from probabilities (K + 1, s, s) and class numbers (s, s)."""
    numbers, row = chance.argmax(0), []
    for number in range(1, len(chance)):
        found, shown = numbers == number, truth == number
        sure = float(chance[number][found].mean()) if found.any() else 0.0
        row.append((sure, int(found.sum()), int(shown.sum()), int((found & shown).sum())))
    return row
