"""Several predictions for the same slice, from other prompts, colors or mirrored, and how much they differ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mvg.model.outputs import ImageFeatures
from mvg.prediction.inference.prompt_cache import PromptCache, PromptView, class_probabilities, draw_colors
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.selection.retrieval import PromptIndex, QuerySlice, select

_SUBSET = 0.7  # share of the prompts that a further member gets where there are too few to divide


@dataclass(frozen=True)
class EnsembleOutput:
    """The prediction of an ensemble for b squares.

    mean: (b, k, s, s) class probabilities, background first, or (b, 1, s, s) pictures in [0, 1]; spread: (b, 1, s, s),
    the standard deviation of pictures over the members, 0 for labels.
    """

    mean: Float[Tensor, "b k s s"]
    spread: Float[Tensor, "b 1 s s"]

    @staticmethod
    def concatenate(parts: "Sequence[EnsembleOutput]") -> "EnsembleOutput":
        """The outputs of several batches, in order."""
        return EnsembleOutput(torch.cat([part.mean for part in parts]), torch.cat([part.spread for part in parts]))

    def __getitem__(self, index: slice) -> "EnsembleOutput":
        """Some of the squares."""
        return EnsembleOutput(self.mean[index], self.spread[index])


@dataclass(frozen=True, eq=False)
class ViewPlanner:
    """Chooses the prompts of each member for a query slice.

    index: what strategies choose from; painted: labels are one colored picture to the model; numbers (n,): the prompt
    slices that the index holds, None for the first ones in order.
    """

    prompts: PromptSet
    index: PromptIndex
    options: PredictionOptions
    painted: bool
    numbers: NDArray[np.int64] | None = None

    def views(self, query: QuerySlice, extra: tuple[int, ...] = ()) -> tuple[PromptView, ...]:
        """One view per member; `extra` prompt slices are added to the chosen ones."""
        options = self.options
        rng = np.random.default_rng(options.seed)
        pool = select(options.strategy, query, self.index, options.num_prompts * options.members, rng)
        if self.numbers is not None:
            pool = tuple(self.numbers[list(pool)].tolist())
        views = []
        for member in range(options.members):
            indices = (*_share(pool, options, member, rng), *extra)
            colors = None
            if self.painted:
                colors = draw_colors(self.prompts.classes_in(indices), member, rng, options.colors)
            views.append(PromptView(indices, mirrored=member % 2 == 1, colors=colors))
        return tuple(views)


def ensemble_output(
    cache: PromptCache, features: Callable[[bool], ImageFeatures], views: Sequence[PromptView]
) -> EnsembleOutput:
    """The mean prediction over the views, corrected where the task was tuned.

    features(mirrored): the features of the squares, mirrored or not.
    """
    outputs = [_member_output(cache, features(view.mirrored), view) for view in views]
    mean = outputs[0] if len(outputs) == 1 else torch.stack(outputs).mean(dim=0)
    spread = torch.zeros_like(mean[:, :1])
    if len(outputs) > 1 and not cache.prompts.has_labels:
        spread = torch.stack(outputs).std(dim=0, correction=0)
    if cache.correction is not None:
        with torch.inference_mode():
            mean = cache.correction(features(False), mean)
    return EnsembleOutput(mean, spread)


def _member_output(cache: PromptCache, features: ImageFeatures, view: PromptView) -> Float[Tensor, "b k s s"]:
    """The prediction of one view, turned back where it is mirrored."""
    present = cache.prompts.classes_in(view.indices)
    if cache.prompts.has_labels and not present.any():  # prompts without any label: the prediction is empty
        background = torch.eye(len(present) + 1)[:1, :, None, None]
        return background.expand(len(features), -1, *features.images.shape[-2:])
    with torch.inference_mode():
        if cache.prompts.has_labels:
            output = class_probabilities(cache.model, features, cache, view, present)
        else:
            output = cache.model.answer(features, cache.state(view), "image").clamp(0, 1).cpu()
    return output.flip(-1) if view.mirrored else output


def _share(pool: Sequence[int], options: PredictionOptions, member: int, rng: np.random.Generator) -> tuple[int, ...]:
    """The member's part of the ranked pool: every n-th slice if there are enough, else a random part."""
    count, members = options.num_prompts, options.members
    if len(pool) >= count * members:
        return tuple(pool[member::members])
    if member == 0:
        return tuple(pool[:count])
    count = min(count, max(1, round(_SUBSET * len(pool))))
    return tuple(pool[number] for number in sorted(rng.choice(len(pool), count, replace=False)))
