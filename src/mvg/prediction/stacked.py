"""The slices that an adapter learns from: each prompt slice as the prompts of the other volumes predict it.

So an adapter sees the errors that the model makes in patients that it was not shown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mvg.model.adapter import AdapterInput
from mvg.model.outputs import ImageFeatures
from mvg.prediction.inference.ensemble import ViewPlanner, ensemble_output
from mvg.prediction.inference.prompt_cache import PromptCache
from mvg.prediction.options import PredictionOptions

_MAX_SLICES = 500  # of all volumes and scales together; bounds the memory


@dataclass(frozen=True, eq=False)
class StackedSlices:
    """The n slices, in 16 bits: what an adapter sees of each, and the truth.

    inputs: see `AdapterInput`; targets (n, 1, s, s): class numbers, or pictures in [0, 1]; volume (n,): numbers of the
    prompt volumes; zoomed, labeled (n,): whether a slice is magnified, and whether it holds a label.
    """

    inputs: AdapterInput
    targets: Float[Tensor, "n 1 s s"]
    volume: NDArray[np.int64]
    zoomed: NDArray[np.bool_]
    labeled: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.volume)

    def batch(self, numbers: Sequence[int] | NDArray[np.int64]) -> tuple[AdapterInput, Float[Tensor, "b 1 s s"]]:
        """Some of the slices, in 32 bits."""
        rows = torch.as_tensor(np.asarray(numbers))
        return self.inputs.map(lambda part: part[rows].float()), self.targets[rows].float()


def stack(
    scales: Sequence[Sequence[PromptCache]],
    options: PredictionOptions,
    rng: np.random.Generator,
    has_time: Callable[[], bool],
) -> StackedSlices:
    """Predict prompt slices from the other volumes.

    scales: the caches of whole slices (one or none), and of magnified ones. Volumes and scales take turns, so that each
    has its share when `has_time()` is False, or all are done. Two slices of each volume are predicted whatever the
    time. There are two volumes or more.
    """
    rows, order = list[_Row](), _in_turns(scales, rng)[:_MAX_SLICES]
    for scale, number, slice_number in order:
        cache = scales[scale][number]
        if not has_time() and len(rows) >= 2 * len(np.unique(cache.prompts.volume)):
            break
        rows.append(_predicted(cache, options, slice_number, zoomed=scale > 0))
    return StackedSlices(
        AdapterInput.concatenate([row.inputs for row in rows]),
        torch.stack([row.target for row in rows]).half(),
        np.array([row.volume for row in rows]),
        np.array([row.zoomed for row in rows]),
        np.array([row.labeled for row in rows]),
    )


@dataclass(frozen=True, eq=False)
class _Row:
    inputs: AdapterInput
    target: Float[Tensor, "1 s s"]
    volume: int
    zoomed: bool
    labeled: bool


def _in_turns(scales: Sequence[Sequence[PromptCache]], rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """(scale, number of its cache, number of a slice) of all slices: scales and volumes in turn."""
    turns = list[tuple[int, int, int, float, int, int]]()
    for scale, caches in enumerate(scales):
        slices = [(number, at) for number, cache in enumerate(caches) for at in range(len(cache.prompts))]
        taken: dict[int, int] = {}
        for row in rng.permutation(len(slices)):
            number, at = slices[row]
            volume = int(caches[number].prompts.volume[at])
            taken[volume] = taken.get(volume, -1) + 1
            turns.append((taken[volume], scale, volume, rng.random(), number, at))
    return [(scale, number, at) for _, scale, _, _, number, at in sorted(turns)]


def predict_from_others(
    cache: PromptCache, options: PredictionOptions, number: int
) -> tuple[ImageFeatures, Float[Tensor, "1 k s s"]]:
    """The features of a prompt slice, and its prediction (1, k, s, s) from the prompts of the other volumes."""
    prompts, index = cache.prompts, cache.index
    others, numbers = index.without_volume(int(prompts.volume[number]))
    planner = ViewPlanner(prompts, others, replace(options, members=1), cache.paints, numbers)
    (view,) = planner.views(index.as_query(number))
    if cache.model.config.independent_prompts:
        view = replace(view, indices=tuple(sorted(view.indices)))
    features = cache.features([number])
    return features, ensemble_output(cache, {False: features}.__getitem__, (view,)).mean


def _predicted(cache: PromptCache, options: PredictionOptions, number: int, zoomed: bool) -> _Row:
    prompts, (features, prediction) = cache.prompts, predict_from_others(cache, options, number)
    inputs = AdapterInput.of(features, prediction).map(lambda part: part.cpu().half())
    if prompts.has_labels:
        target = torch.from_numpy(prompts.targets[[number]].astype(np.float32))
    else:
        target = torch.from_numpy(prompts.picture_batch([number]))
    labeled = bool(prompts.classes[number].any()) or not prompts.has_labels
    return _Row(inputs, target, int(prompts.volume[number]), zoomed, labeled)
