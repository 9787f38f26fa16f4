"""Prompts on their way into the model: encoded once, kept while there is room, joined for each query slice."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mvg.errors import PromptError
from mvg.imaging.coloring import Coloring
from mvg.model.generalist import Generalist
from mvg.model.outputs import PromptState
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.selection.retrieval import thumbnails

_PICTURES_AT_ONCE = 8  # that are looked at together
_PARTS = 4  # a side, whose mean features describe a picture
_CLASSES_AT_ONCE = 32  # target channels that travel through the model together; bounds the memory, changes nothing


@dataclass(frozen=True)
class PromptView:
    """What one member of an ensemble is shown: prompt slices in this order, mirrored or not, classes in these colors.

    `colors` is one color per class where the model paints (0: not asked for), None where it does not and for pictures.
    """

    chosen: tuple[int, ...]
    mirrored: bool = False
    colors: tuple[float, ...] | None = None

    def passes(self) -> "tuple[PromptView, ...]":
        """The same, asked in as many passes as classes share a color: in each no two do."""
        if self.colors is None or len(set(self.colors) - {0}) == len([color for color in self.colors if color]):
            return (self,)
        turns = [self.colors[:number].count(color) for number, color in enumerate(self.colors)]
        count = 1 + max(turn for turn, color in zip(turns, self.colors, strict=True) if color)
        own = ([c if turn == one else 0.0 for turn, c in zip(turns, self.colors, strict=True)] for one in range(count))
        return tuple(replace(self, colors=tuple(colors)) for colors in own)


class PromptCache:
    """Encoded prompts of one request; the least recently used are forgotten beyond `room` bytes.

    Keys and values are kept in bfloat16. In the matching form every prompt slice is encoded on its own and joined with
    others; in the merged form a prompt sees those before it, so a whole set is one entry.
    """

    def __init__(self, model: Generalist, examples: PromptSet, room: int = 2**30) -> None:
        self._model, self._examples, self._room = model, examples, room
        self._entries: OrderedDict[PromptView, PromptState] = OrderedDict()
        self._bytes = 0
        self.least: dict[object, NDArray[np.float32] | None] = {}
        """How sure classes have to be, by the settings that they are asked with (`certainty`)."""
        self._features: dict[int, NDArray[np.float32]] = {}

    def prompts(self, view: PromptView) -> PromptState:
        """The encoded prompts of a view, with one target channel per class, per picture, or for all painted classes."""
        if self._model.config.form == "merged":
            return self._kept(view)
        parts = [self._kept(replace(view, chosen=(one,))) for one in view.chosen]
        return parts[0] if len(parts) == 1 else PromptState.concatenate(parts)

    def extended(self, examples: PromptSet) -> "PromptCache":
        """What is kept, for examples that begin with the same slices."""
        more = PromptCache(self._model, examples, self._room)
        for view, prompts in self._entries.items():
            more.put(view, prompts)
        return more

    def features(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the model sees in these prompt slices (n, f); computed once."""
        new = [one for one in at.tolist() if one not in self._features]
        for start in range(0, len(new), _PICTURES_AT_ONCE):
            some = new[start : start + _PICTURES_AT_ONCE]
            self._features.update(zip(some, self.seen_in(self._examples.image(some)), strict=True))
        return np.stack([self._features[one] for one in at.tolist()])

    def seen_in(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the model sees in pictures (m, s, s) (m, f): its features of their parts, or the thumbnails in the
        merged form, which sees no image apart from its target.
        """
        if self._model.config.form == "merged":
            return thumbnails(pictures)
        device = next(self._model.parameters()).device
        with torch.inference_mode():
            levels = self._model.embed(torch.from_numpy(pictures)[:, None].to(device)).levels
        assert levels is not None
        rows = pictures.shape[-1] // 8
        seen = rearrange(levels[:, -1], "b (h w) d -> b d h w", h=rows)
        return np.asarray(F.adaptive_avg_pool2d(seen, _PARTS).flatten(1).float().cpu().numpy())

    def encoded(self, room: int) -> Iterator[tuple[PromptView, PromptState]]:
        """What is kept, the latest first, for a file of `room` bytes; all other slices follow where none is painted."""
        views = list(reversed(self._entries))
        if not self._model.config.paints:
            every = (PromptView((one,)) for one in range(len(self._examples)))
            views += [view for view in every if view not in self._entries]
        for view in views:
            prompts = self._kept(view)
            room -= _bytes(prompts)
            if room < 0:
                return
            yield view, prompts

    def put(self, view: PromptView, prompts: PromptState) -> None:
        """Keep prompts that were encoded before."""
        self._entries[view] = prompts
        self._bytes += _bytes(prompts)
        while self._bytes > self._room and len(self._entries) > 1:
            self._bytes -= _bytes(self._entries.popitem(last=False)[1])

    def _kept(self, view: PromptView) -> PromptState:
        if view in self._entries:
            self._entries.move_to_end(view)
            return self._entries[view]
        images, targets = self._shown(view)
        device = next(self._model.parameters()).device
        with torch.inference_mode():
            encoded = _compact(
                self._model.encode(
                    self._model.embed(images.to(device)),
                    targets[None].to(device),
                    "labels" if self._examples.values else "image",
                )
            )
        self.put(view, encoded)
        return encoded

    def _shown(self, view: PromptView) -> tuple[Float[Tensor, "n 1 s s"], Float[Tensor, "n c s s"]]:
        images = self._examples.image(view.chosen)[:, None]
        targets = self._targets(view)
        if view.mirrored:
            images, targets = images[..., ::-1], targets[..., ::-1]
        return torch.from_numpy(images.copy()), torch.from_numpy(targets.copy())

    def _targets(self, view: PromptView) -> NDArray[np.float32]:
        values = self._examples.values
        if not values:
            return self._examples.picture(view.chosen)[:, None]
        numbers = self._examples.targets[list(view.chosen)]
        if view.colors is not None:
            return _coloring(view.colors).paint(numbers)[:, None]
        return np.asarray(numbers[:, None] == np.arange(1, len(values) + 1)[:, None, None], np.float32)


def class_probabilities(
    model: Generalist, query: Float[Tensor, "b 1 s s"], cache: PromptCache, view: PromptView, present: NDArray[np.bool_]
) -> Float[Tensor, "b k s s"]:
    """Probabilities of background and the K classes (k = K + 1) from encoded prompts; they sum to 1.

    A class that no shown prompt holds (`present` (K,) is False) cannot be answered and has probability 0.
    """
    features = model.embed(query)
    scores = torch.full((len(query), len(present) + 1, *query.shape[-2:]), -torch.inf)
    scores[:, 0] = 0
    if view.colors is not None:
        for one in view.passes():
            coloring = _coloring(one.colors or ())
            logits = coloring.logits(model.answer(features, cache.prompts(one), "labels")[:, 0].cpu().numpy())
            scores[:, list(coloring.values)] = torch.from_numpy((logits[1:] - logits[:1]).swapaxes(0, 1))
        return scores.softmax(dim=1)
    shown, prompts = np.flatnonzero(present), cache.prompts(view)
    for start in range(0, len(shown), _CLASSES_AT_ONCE):
        some = shown[start : start + _CLASSES_AT_ONCE]
        part = prompts if len(some) == prompts.channels else _channels(prompts, some)
        scores[:, some + 1] = model.answer(features, part, "labels").cpu()
    return scores.softmax(dim=1)


def draw_colors(
    present: NDArray[np.bool_], draw: int, rng: np.random.Generator, fixed: tuple[float, ...] = ()
) -> tuple[float, ...]:
    """Evenly spaced colors for the classes `present` (K,), 0 for others; ascending in draw 0, else in random order.

    fixed: their colors instead, one per class (see `Settings.colors`). Raises PromptError for another number of them.
    """
    if fixed:
        if len(fixed) != len(present):
            raise PromptError(f"{len(fixed)} colors", f"one for each of {len(present)} classes", "correct the colors")
        return tuple(color if there else 0.0 for color, there in zip(fixed, present, strict=True))
    spaced = np.array(Coloring.spaced(range(1, int(present.sum()) + 1)).colors)
    colors = np.zeros(len(present))
    colors[present] = spaced if draw == 0 else rng.permutation(spaced)
    return tuple(float(color) for color in colors)


def _coloring(colors: tuple[float, ...]) -> Coloring:
    """Over class numbers 1..K; classes without a color are left to the background."""
    asked = [(number, color) for number, color in enumerate(colors, start=1) if color]
    return Coloring(tuple(number for number, _ in asked), tuple(color for _, color in asked))


def _channels(prompts: PromptState, some: NDArray[np.int64]) -> PromptState:
    index = torch.as_tensor(some, device=prompts.values[0].device)
    values = tuple(values.index_select(3, index) for values in prompts.values)
    sums = (*prompts.sums[:1], *(cross.index_select(1, index) for cross in prompts.sums[1:]))
    return replace(prompts, values=values, sums=sums)


def _compact(prompts: PromptState) -> PromptState:
    keys, values = (tuple(t.bfloat16() for t in tensors) for tensors in (prompts.keys, prompts.values))
    return replace(prompts, keys=keys, values=values)  # the sums are differences of large numbers: they stay whole


def _bytes(prompts: PromptState) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in (*prompts.keys, *prompts.values, *prompts.sums))
