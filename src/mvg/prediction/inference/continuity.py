"""How much of a label goes on from one slice to the next, in the prompts: what tells an organ from a lesion."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from mvg.prediction.prompts.prompt_set import PromptSet


def continuity(prompts: PromptSet, slices: int) -> Float[NDArray[np.float64], " k"]:
    """IoU of each class in neighboring slices of the prompts (K,), over all of them; 0 for a class without neighbors.

    slices: of the query. Where a prompt volume has more, slices are compared that are as far apart as the query's, so
    far as both show about the same part of a body.
    """
    classes = len(prompts.values) + 1
    both, areas = np.zeros(classes), np.zeros(classes)
    for first, second in _neighbors(prompts, slices):
        one, other = prompts.targets[first].ravel(), prompts.targets[second].ravel()
        both += np.bincount(one[one == other], minlength=classes)
        areas += np.bincount(one, minlength=classes) + np.bincount(other, minlength=classes)
    return np.asarray((both / np.maximum(areas - both, 1))[1:])


def _neighbors(prompts: PromptSet, slices: int) -> list[tuple[int, int]]:
    """Prompt slices of one volume, and the nearest ones after them at a distance like that of the query's slices."""
    pairs = list[tuple[int, int]]()
    for volume in np.unique(prompts.volume):
        rows = np.flatnonzero(prompts.volume == volume)
        rows = rows[np.argsort(prompts.index[rows])]
        step = max(1, round(int(prompts.count[rows[0]]) / max(slices, 1)))
        places = prompts.index[rows]
        after = np.searchsorted(places, places + step)
        pairs += [(int(rows[at]), int(rows[to])) for at, to in enumerate(after) if to < len(rows)]
    return pairs
