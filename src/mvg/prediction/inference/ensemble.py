"""Several answers to the same slice, from other prompts, colors or mirrored, and where they disagree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mvg.errors import PromptError, UnknownNameError
from mvg.model.generalist import Generalist
from mvg.prediction.inference.prompt_cache import PromptCache, PromptView, class_probabilities, draw_colors
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.selection.retrieval import PromptIndex, QuerySlice, check_strategy, choose

LOOKS = ("whole", "close")


@dataclass(frozen=True)
class PredictionOptions:
    """How prompts are used.

    strategy: which prompt slices a query slice is shown; num_prompts: how many at most; members: answers in the
    ensemble, each from other prompts, colors or mirrored; seed: of every random choice; look: "whole" answers whole
    slices, "close" then looks again at small and fine labels, unless the prompts were shown for "whole". propagate:
    slices whose labels were answered at least so surely (mean probability) join the prompts of the next slices on both
    sides, which are then asked again (0: no second time). reject: a label whose mean probability in a slice is lower is
    dropped there (0: none is; None: the prompts set how sure each has to be, see `certainty`). colors: for weights of
    the merged form that learnt fixed colors, one in (0, 1] per class; classes of one color are asked one after the
    other (none: as far apart as can be). UnknownNameError, PromptError for others.
    """

    strategy: str = "alike_nearby"
    num_prompts: int = 8
    members: int = 1
    seed: int = 0
    look: str = "close"
    propagate: float = 0.0
    reject: float | None = None
    colors: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_strategy(self.strategy)
        if self.look not in LOOKS:
            raise UnknownNameError("look", self.look, LOOKS)
        for what, value in (("prompts", self.num_prompts), ("ensemble members", self.members)):
            if value < 1:
                raise PromptError(f"{value} {what}", "1 or more", "ask for at least one")
        for what, share in (("propagate", self.propagate), ("reject", self.reject or 0.0)):
            if not 0 <= share <= 1:
                raise PromptError(f"{what} = {share:g}", "a probability between 0 and 1", f"correct {what}")
        if self.seed < 0:
            raise PromptError(f"seed = {self.seed}", "0 or more", "choose another seed")
        if not all(0 < color <= 1 for color in self.colors):
            raise PromptError(f"colors {self.colors}", "colors above 0, at most 1", "correct the colors")


@dataclass(frozen=True)
class EnsembleOutput:
    """The ensemble's answer to a batch of squares.

    mean: (b, k, s, s) class probabilities, background first, or (b, 1, s, s) pictures in [0, 1]; spread: (b, 1, s, s)
    standard deviation of pictures between members, 0 for labels.
    """

    mean: Float[Tensor, "b k s s"]
    spread: Float[Tensor, "b 1 s s"]


def views(
    query: QuerySlice,
    examples: PromptSet,
    shelf: PromptIndex,
    settings: PredictionOptions,
    painted: bool,
    extra: tuple[int, ...] = (),
) -> tuple[PromptView, ...]:
    """What each member of the ensemble is shown for a query slice: slices chosen from the shelf, and `extra` ones."""
    rng = np.random.default_rng(settings.seed)
    wanted = settings.num_prompts
    pool = choose(settings.strategy, query, shelf, wanted * settings.members, rng)
    found = []
    for member in range(settings.members):
        chosen = (*_dealt(pool, wanted, member, settings.members, rng), *extra)
        colors = draw_colors(examples.shows(chosen), member, rng, settings.colors) if painted else None
        found.append(PromptView(chosen, mirrored=member % 2 == 1, colors=colors))
    return tuple(found)


def answer(
    model: Generalist,
    cache: PromptCache,
    examples: PromptSet,
    squares: Float[Tensor, "b 1 s s"],
    shown: Sequence[PromptView],
) -> EnsembleOutput:
    """Ask every member and average."""
    total, squared = torch.zeros(1), torch.zeros(1)
    for view in shown:
        said = _member(model, cache, examples, squares.flip(-1) if view.mirrored else squares, view)
        said = said.flip(-1) if view.mirrored else said
        total, squared = total + said, squared + said**2
    mean = total / len(shown)
    if examples.values:
        return EnsembleOutput(mean, torch.zeros_like(mean[:, :1]))
    return EnsembleOutput(mean, (squared / len(shown) - mean**2).clamp(min=0).sqrt())


def _member(
    model: Generalist, cache: PromptCache, examples: PromptSet, squares: Float[Tensor, "b 1 s s"], view: PromptView
) -> Float[Tensor, "b k s s"]:
    present = examples.shows(view.chosen)
    if examples.values and not present.any():  # prompts that show nothing: nothing is there
        return torch.eye(len(present) + 1)[:1, :, None, None].expand(len(squares), -1, *squares.shape[-2:])
    device = next(model.parameters()).device
    with torch.inference_mode():
        if examples.values:
            return class_probabilities(model, squares.to(device), cache, view, present)
        return model.answer(model.embed(squares.to(device)), cache.prompts(view), "image").clamp(0, 1).cpu()


def _dealt(pool: Sequence[int], wanted: int, member: int, members: int, rng: np.random.Generator) -> tuple[int, ...]:
    """The member's share of the ranked pool: every so-manieth if there are enough, else a random part of it."""
    if len(pool) >= wanted * members:
        return tuple(pool[member::members])
    if member == 0:
        return tuple(pool[:wanted])
    count = min(wanted, max(1, round(0.7 * len(pool))))
    return tuple(pool[at] for at in sorted(rng.choice(len(pool), count, replace=False)))
