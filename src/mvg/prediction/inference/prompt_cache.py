"""Prompts on their way into the model: embedded once, encoded once, joined for each query slice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from threading import RLock

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
from mvg.model.outputs import ImageFeatures, PromptState, TargetType
from mvg.model.target_encoder import distinct_channels
from mvg.prediction.inference.adaptation import Correction
from mvg.prediction.inference.feature_cache import BATCH, FeatureCache
from mvg.prediction.inference.kept_state import KeptState, joined, state_bytes
from mvg.prediction.inference.recent import Shared
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.selection.retrieval import PromptIndex, spread, thumbnails

_DESCRIPTOR_SIDE = 4  # parts of a picture along a side, whose mean features describe it
_MAX_CHANNELS = 32  # target channels that go through the model together; bounds the memory
_STATE_BYTES = 3 * 2**26
_JOINED_BYTES, _MIN_JOINED_BYTES = 2**26, 2**24
_DESCRIPTOR_BYTES = 2**26


@dataclass(frozen=True)
class PromptView:
    """The prompts of one member of an ensemble: prompt slices in this order, mirrored or not, classes in these colors.

    colors: one per class where the model paints labels (0: the class is left out), None where it does not.
    """

    indices: tuple[int, ...]
    mirrored: bool = False
    colors: tuple[float, ...] | None = None

    def passes(self) -> "tuple[PromptView, ...]":
        """Split into passes in which all colors differ."""
        if self.colors is None or len(set(self.colors) - {0}) == len([color for color in self.colors if color]):
            return (self,)
        turns = [self.colors[:number].count(color) for number, color in enumerate(self.colors)]
        count = 1 + max(turn for turn, color in zip(turns, self.colors, strict=True) if color)
        of_turn = (
            [c if turn == number else 0.0 for turn, c in zip(turns, self.colors, strict=True)]
            for number in range(count)
        )
        return tuple(replace(self, colors=tuple(colors)) for colors in of_turn)


class PromptCache:
    """Features and encoded states of the prompt slices of one task; safe for several threads.

    States are kept in bfloat16 within `budget` bytes, those of whole views within 64 MB, features within 128 MB; the
    least recently used are dropped and computed again when needed. Classes that a slice lacks share one channel. A
    network with independent prompts encodes every prompt slice on its own; otherwise a prompt attends to those before
    it, and a whole view is one entry.
    """

    def __init__(self, model: Generalist, prompts: PromptSet, budget: int = _STATE_BYTES) -> None:
        self.model, self.prompts = model, prompts
        self.correction: Correction | None = None
        """What corrects predictions from these prompts, where the task was tuned."""
        self.thresholds: dict[object, NDArray[np.float32]] = {}
        """Minimum probabilities of the classes (K,), by the options that they were determined with."""
        self.zoom_gains: dict[object, NDArray[np.float32]] = {}
        """The gain in Dice of each magnified region for each class (r, K), by the options that it was measured with."""
        self.held_out: dict[int, float] = {}
        """The Dice of prompt volumes that were predicted from the others, where that was done."""
        self._states: Shared[PromptView, KeptState] = Shared(budget, lambda kept: kept.nbytes)
        self._joined: Shared[tuple[PromptView, tuple[int, ...]], PromptState] = Shared(
            max(_MIN_JOINED_BYTES, min(budget // 4, _JOINED_BYTES)), state_bytes
        )
        likely = spread(prompts.volume).tolist()
        self._features = FeatureCache(model, lambda number: prompts.image_batch([number]), likely)
        self._descriptors: Shared[int, NDArray[np.float32]] = Shared(_DESCRIPTOR_BYTES, lambda row: row.nbytes)
        self.lock = RLock()

    @property
    def paints(self) -> bool:
        """Whether the model receives the labels of these prompts as one painted picture."""
        return self.prompts.has_labels and self.model.config.paints

    @property
    def index(self) -> PromptIndex:
        """What strategies choose from, with the descriptors of this model."""
        return replace(self.prompts.retrieval_index, descriptors=self.descriptors)

    def state(self, view: PromptView, classes: Sequence[int] | None = None) -> PromptState:
        """The encoded prompts of a view, with one target channel per class, per picture, or for all painted classes.

        classes: numbers from 0 on of the wanted classes; None for all of them.
        """
        count = len(self.prompts.values) if self.prompts.has_labels and not self.paints else 1
        wanted = tuple(range(count) if classes is None else classes)
        if not self.model.config.independent_prompts:
            whole = self._encoded([view])[0].whole()
            return whole if classes is None else whole.select(torch.tensor(wanted, device=whole.keys[0].device))
        return self._joined.get([(view, wanted)], self._join)[0]  # its regression is solved at most once

    def features(self, indices: Sequence[int], mirrored: bool = False) -> ImageFeatures:
        """The features of prompt slices, each embedded once."""
        return self._features.get(indices, mirrored)

    def forget_features(self) -> None:
        """Free the memory of features; what is encoded needs them no more."""
        self._features.clear()

    def descriptors(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Descriptors of prompt slices (n, f) for retrieval."""
        return np.stack(self._descriptors.get(indices.tolist(), self._describe, BATCH))

    def extended(self, prompts: PromptSet) -> "PromptCache":
        """A cache for prompts that begin with the same slices; what is encoded is shared."""
        more = PromptCache(self.model, prompts, self._states.budget)
        for view, kept in self._states.items():
            more._states.put(view, kept)
        more._features.take_over(self._features)
        for number, descriptor in self._descriptors.items():
            more._descriptors.put(number, descriptor)
        more.thresholds, more.zoom_gains, more.correction = self.thresholds, self.zoom_gains, self.correction
        return more

    def with_more(self, prompts: PromptSet) -> "PromptCache":
        """As `extended`, with thresholds and gains to be determined anew."""
        other = self.extended(prompts)
        other.thresholds, other.zoom_gains = {}, {}
        return other

    def corrected(self, correction: Correction | None) -> "PromptCache":
        """A cache for the same prompts whose predictions are corrected; what is encoded is shared."""
        other = self.with_more(self.prompts)
        other.correction = correction
        return other

    def saved_states(self, budget: int) -> Iterator[tuple[PromptView, PromptState]]:
        """States for a file of `budget` bytes: the latest first, then all other slices where none is painted."""
        views = [view for view, _ in reversed(self._states.items())]
        if not self.model.config.paints and self.model.config.independent_prompts:
            single = (PromptView((number,)) for number in range(len(self.prompts)))
            views += [view for view in single if view not in set(views)]
        for view in views:
            state = self._encoded([view])[0].whole()
            budget -= state_bytes(state)
            if budget < 0:
                return
            yield view, state

    def put(self, view: PromptView, state: PromptState) -> None:
        """Keep a state that was encoded before."""
        self._states.put(view, KeptState.of(state))

    def _describe(self, numbers: Sequence[int]) -> list[NDArray[np.float32]]:
        return list(describe(self.features(numbers)))

    def _join(self, wanted: Sequence[tuple[PromptView, tuple[int, ...]]]) -> list[PromptState]:
        states = list[PromptState]()
        for view, classes in wanted:
            parts = self._encoded([replace(view, indices=(number,)) for number in view.indices])
            with torch.inference_mode():
                states.append(joined(parts, torch.tensor(classes, device=parts[0].distinct.keys[0].device)))
        return states

    def _encoded(self, views: Sequence[PromptView]) -> list[KeptState]:
        return self._states.get(views, lambda missing: [self._encode(view) for view in missing])

    def _encode(self, view: PromptView) -> KeptState:
        target_type: TargetType = "labels" if self.prompts.has_labels else "image"
        with torch.inference_mode():
            features = self.features(view.indices, view.mirrored)
            targets = self._targets(view).to(features.images.device)[None]
            distinct, channels = distinct_channels(targets)
            if len(distinct) == len(channels):
                return KeptState.of(self.model.encode(features, targets, target_type))
            state = self.model.encode(features, targets.index_select(2, distinct), target_type)
            return KeptState.of(state, channels)

    def _targets(self, view: PromptView) -> Float[Tensor, "n c s s"]:
        values, indices = self.prompts.values, list(view.indices)
        if not self.prompts.has_labels:
            targets = self.prompts.picture_batch(indices)[:, None]
        elif view.colors is not None:
            targets = coloring_of(view.colors).paint(self.prompts.targets[indices])[:, None]
        else:
            numbers = np.arange(1, len(values) + 1)[:, None, None]
            targets = np.asarray(self.prompts.targets[indices][:, None] == numbers, np.float32)
        return torch.from_numpy((targets[..., ::-1] if view.mirrored else targets).copy())


def describe(features: ImageFeatures) -> NDArray[np.float32]:
    """Descriptors (n, f) for retrieval: mean features of the parts of each picture.

    Thumbnails where the network embeds no image without its target.
    """
    if features.levels is None:
        return thumbnails(features.images[:, 0].cpu().numpy())
    side = round(features.levels.shape[2] ** 0.5)
    level = rearrange(features.levels[:, -1], "b (h w) d -> b d h w", h=side)
    return np.asarray(F.adaptive_avg_pool2d(level, _DESCRIPTOR_SIDE).flatten(1).float().cpu().numpy())


def class_probabilities(
    model: Generalist, features: ImageFeatures, cache: PromptCache, view: PromptView, present: NDArray[np.bool_]
) -> Float[Tensor, "b k s s"]:
    """Probabilities of background and the K classes (k = K + 1) of queries; they sum to 1.

    A class that no prompt of the view holds (`present` (K,) is False) has probability 0.
    """
    scores = torch.full((len(features), len(present) + 1, *features.images.shape[-2:]), -torch.inf)
    scores[:, 0] = 0
    if view.colors is not None:
        for part in view.passes():
            coloring = coloring_of(part.colors or ())
            pictures = model.answer(features, cache.state(part), "labels")[:, 0]
            logits = coloring.logits(pictures.cpu().numpy())
            scores[:, list(coloring.values)] = torch.from_numpy((logits[1:] - logits[:1]).swapaxes(0, 1))
        return scores.softmax(dim=1)
    classes = np.flatnonzero(present)
    for start in range(0, len(classes), _MAX_CHANNELS):
        group = classes[start : start + _MAX_CHANNELS]
        scores[:, group + 1] = model.answer(features, cache.state(view, group.tolist()), "labels").cpu()
    return scores.softmax(dim=1)


def draw_colors(
    present: NDArray[np.bool_], draw: int, rng: np.random.Generator, fixed: tuple[float, ...] = ()
) -> tuple[float, ...]:
    """Evenly spaced colors for the classes `present` (K,), 0 for others; ascending in draw 0, else in random order.

    fixed: colors to use instead, one per class (see `PredictionOptions.colors`); PromptError for another number.
    """
    if fixed:
        if len(fixed) != len(present):
            raise PromptError(f"{len(fixed)} colors", f"one for each of {len(present)} classes", "correct the colors")
        return tuple(color if there else 0.0 for color, there in zip(fixed, present, strict=True))
    spaced = np.array(Coloring.spaced(range(1, int(present.sum()) + 1)).colors)
    colors = np.zeros(len(present))
    colors[present] = spaced if draw == 0 else rng.permutation(spaced)
    return tuple(float(color) for color in colors)


def coloring_of(colors: tuple[float, ...]) -> Coloring:
    """A coloring of class numbers 1..K; classes without a color belong to the background."""
    colored = [(number, color) for number, color in enumerate(colors, start=1) if color]
    return Coloring(tuple(number for number, _ in colored), tuple(color for _, color in colored))
