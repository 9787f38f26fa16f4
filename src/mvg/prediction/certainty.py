"""How sure a label has to be in a slice to be kept there: told by the prompts, each answered from the others.

A label that ends within a volume is often outlined beyond its ends, less surely than where it is. How much less differs
from task to task, but prompts know where their own labels end.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mvg.model.generalist import Generalist
from mvg.prediction.choosing import QuerySlice, Shelf, choose
from mvg.prediction.encoding import PromptCache, View, draw_colors
from mvg.prediction.ensemble import Settings, answer
from mvg.prediction.examples import Examples

_VOLUMES, _SLICES = 8, 8  # prompt volumes that are asked about, and slices of each
_LEVELS = np.array([0, 0.6, 0.65, 0.7, 0.75, 0.8, 0.84, 0.87, 0.9])  # mean probabilities
_WORTH = 0.01  # mean gain in Dice, below which nothing is dropped
_KEPT = 0.95  # least share of what was rightly found that has to stay


def least_certainty(
    model: Generalist, cache: PromptCache, examples: Examples, settings: Settings
) -> NDArray[np.float32]:
    """The least mean probability (K,) at which each class is kept in a slice: that which is best for the prompts' own
    slices, answered from other prompt volumes, if it is surely better than none and costs little that is right. 0 where
    there is one volume alone.
    """
    volumes = np.unique(examples.volume)
    least = np.zeros(len(examples.values), np.float32)
    if len(volumes) < 2:
        return least
    some = volumes[np.unique(np.linspace(0, len(volumes) - 1, _VOLUMES).round().astype(int))]
    found = [_answered(model, cache, examples, settings, int(volume)) for volume in some]
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
    model: Generalist, cache: PromptCache, examples: Examples, settings: Settings, volume: int
) -> NDArray[np.float64]:
    """Some slices of a prompt volume from the other volumes: of every class (n, K, 4) how sure it is where it was
    found, and how many pixels were found, are shown, and are both.
    """
    own, others = (np.flatnonzero(test) for test in (examples.volume == volume, examples.volume != volume))
    whole = examples.shelf
    shelf = Shelf(
        whole.volume[others], whole.index[others], whole.count[others], whole.thumbnails[others],
        lambda at: cache.features(others[at]),
    )  # fmt: skip
    rows = []
    for at in own[np.unique(np.linspace(0, len(own) - 1, _SLICES).round().astype(int))].tolist():
        chance = _chance(model, cache, examples, settings, at, others, shelf)
        numbers, truth = chance.argmax(0), examples.targets[at]
        row = []
        for number in range(1, len(chance)):
            found, shown = numbers == number, truth == number
            sure = float(chance[number][found].mean()) if found.any() else 0.0
            row.append((sure, found.sum(), shown.sum(), (found & shown).sum()))
        rows.append(row)
    return np.array(rows, np.float64)


def _chance(
    model: Generalist, cache: PromptCache, examples: Examples, settings: Settings, at: int, others: NDArray[np.int64],
    shelf: Shelf,
) -> NDArray[np.float32]:  # fmt: skip
    """Probabilities (K + 1, s, s) of a prompt slice's classes, told by `others`, which are what is on the shelf."""
    whole = examples.shelf
    asked = QuerySlice(
        int(whole.index[at]), int(whole.count[at]), whole.thumbnails[at], lambda: cache.features(np.array([at]))[0]
    )
    rng = np.random.default_rng(settings.seed)
    places = choose(settings.strategy, asked, shelf, settings.num_prompts, rng)
    chosen = tuple(sorted(others[list(places)].tolist()))
    colors = draw_colors(examples.shows(chosen), 0, rng) if model.config.form == "merged" else None
    square = torch.from_numpy(examples.image([at]))[:, None]
    return answer(model, cache, examples, square, (View(chosen, colors=colors),)).mean[0].numpy()
