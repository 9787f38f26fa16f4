"""All slices of a query answered from prompts: neighbours that are shown the same go through the model together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray

from mvg.model.generalist import Generalist
from mvg.prediction.inference.ensemble import EnsembleOutput, PredictionOptions, answer, views
from mvg.prediction.inference.prompt_cache import PromptCache, PromptView
from mvg.prediction.inference.query_volume import Query
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.refinement.rejection import rejection_thresholds
from mvg.prediction.selection.retrieval import PromptIndex

_SQUARES_AT_ONCE = 8  # query squares that go through the model together

Extra = Callable[[int], tuple[int, ...]]
"""A slice's number -> prompt slices that it is shown besides those that the strategy chooses."""


@dataclass(frozen=True, eq=False)
class VolumePrediction:
    """What is said of all n slices of a query (n, rows, cols): class numbers, 0 for the background, or raw pictures.

    doubts: their uncertainty in [0, 1] where an ensemble answers, else None; known (n, K): which classes each slice's
    prompts showed; dropped (n, K): those that it was not sure enough of; sure (n,): mean probability of what was found
    in the slice, 0 where nothing was.
    """

    said: NDArray[np.uint8] | NDArray[np.float32]
    doubts: NDArray[np.float32] | None
    known: NDArray[np.bool_]
    dropped: NDArray[np.bool_]
    sure: NDArray[np.float32]


def predict_slices(
    model: Generalist, cut: Query, examples: PromptSet, cache: PromptCache, settings: PredictionOptions,
    told: Callable[[int], None],
) -> VolumePrediction:  # fmt: skip
    """The answers of one look; `told(slices done)`. With `settings.propagate` everything is asked twice."""
    shelf = replace(examples.shelf, features=cache.features)
    if settings not in cache.least:
        cache.least[settings] = _least(model, cache, examples, settings)
    least = cache.least[settings]
    once = _Look(model, cut, examples, cache, settings, shelf, least).answers(told)
    if not examples.values or settings.propagate <= 0 or len(cut.frames) > 1:
        return once
    sure = np.flatnonzero(once.sure >= settings.propagate)
    if not len(sure):
        return once
    joined = examples.with_volume(*_own(cut, once, sure), sure, len(cut))

    def neighbours(at: int) -> tuple[int, ...]:
        """The nearest sure slice below and above."""
        below, above = sure[sure < at][-1:], sure[sure > at][:1]
        return tuple(len(examples) + int(np.searchsorted(sure, one)) for one in (*below, *above))

    return _Look(model, cut, joined, cache.extended(joined), settings, shelf, least, neighbours).answers(told)


def _least(
    model: Generalist, cache: PromptCache, examples: PromptSet, settings: PredictionOptions
) -> NDArray[np.float32] | None:
    """How sure each class (K,) has to be in a slice; None where there are none, or none has to be."""
    if not examples.values or settings.reject == 0:
        return None
    if settings.reject is None:
        return rejection_thresholds(model, cache, examples, settings)
    return np.full(len(examples.values), settings.reject, np.float32)


def _own(cut: Query, once: VolumePrediction, some: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Slices of the query as the model sees them, and what was said of them."""
    frame = cut.frames[0]
    images = np.concatenate([cut.squares(int(at)) for at in some])
    return images, np.stack([frame.apply_labels(once.said[at]) for at in some]).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class _Look:
    """One way of asking for a query: `shelf` is what strategies choose from."""

    model: Generalist
    cut: Query
    examples: PromptSet
    cache: PromptCache
    settings: PredictionOptions
    shelf: PromptIndex
    least: NDArray[np.float32] | None
    extra: Extra = lambda at: ()

    def answers(self, told: Callable[[int], None]) -> VolumePrediction:
        """Every slice's."""
        cut, values = self.cut, self.examples.values
        shape = cut.pictures.shape
        said = np.zeros(shape, np.uint8) if values else np.zeros(shape, np.float32)
        doubts = np.zeros(shape, np.float32) if self.settings.members > 1 else None
        known, dropped = np.zeros((2, len(cut), len(values)), np.bool_)
        sure = np.zeros(len(cut), np.float32)
        for at, squares, found, shown in self._said():
            if values:
                known[at] = self.examples.shows(tuple({one for view in shown for one in view.chosen}))
                said[at], doubt, sure[at], unsure = cut.labels(found.mean.numpy(), self.least)
                dropped[at, [number - 1 for number in unsure]] = True
            else:
                said[at] = self._picture(at, squares, found)
                doubt = np.clip(2 * cut.restore(found.spread[:, 0].numpy()), 0, 1)
            if doubts is not None:
                doubts[at] = doubt
            told(at + 1)
        return VolumePrediction(said, doubts, known, dropped, sure)

    def _said(self) -> Iterator[tuple[int, NDArray[np.float32], EnsembleOutput, tuple[PromptView, ...]]]:
        """Number, squares (f, s, s), answer and views of every slice."""
        at_once = max(1, _SQUARES_AT_ONCE // len(self.cut.frames))
        for shown, group in groupby(self._shown(), key=lambda item: item[2]):
            waiting: list[tuple[int, NDArray[np.float32]]] = []
            for at, squares, _ in group:
                waiting.append((at, squares))
                if len(waiting) == at_once:
                    yield from self._asked(waiting, shown)
                    waiting = []
            if waiting:
                yield from self._asked(waiting, shown)

    def _shown(self) -> Iterator[tuple[int, NDArray[np.float32], tuple[PromptView, ...]]]:
        config = self.model.config
        painted = bool(self.examples.values) and config.paints
        for at in range(len(self.cut)):
            squares = self.cut.squares(at)
            described = self.cut.described(at, squares, self.cache.seen_in)
            shown = views(described, self.examples, self.shelf, self.settings, painted, self.extra(at))
            if config.form == "matching":
                # Its prompts do not look at one another: in one order, more neighbouring slices go together.
                shown = tuple(replace(view, chosen=tuple(sorted(view.chosen))) for view in shown)
            yield at, squares, shown

    def _asked(
        self, waiting: Sequence[tuple[int, NDArray[np.float32]]], shown: tuple[PromptView, ...]
    ) -> Iterator[tuple[int, NDArray[np.float32], EnsembleOutput, tuple[PromptView, ...]]]:
        frames = len(waiting[0][1])
        squares = torch.from_numpy(np.concatenate([squares for _, squares in waiting]))[:, None]
        parts = [
            answer(self.model, self.cache, self.examples, squares[start : start + _SQUARES_AT_ONCE], shown)
            for start in range(0, len(squares), _SQUARES_AT_ONCE)
        ]
        mean, spread = torch.cat([part.mean for part in parts]), torch.cat([part.spread for part in parts])
        for place, (at, own) in enumerate(waiting):
            mine = slice(place * frames, (place + 1) * frames)
            yield at, own, EnsembleOutput(mean[mine], spread[mine]), shown

    def _picture(self, at: int, squares: NDArray[np.float32], said: EnsembleOutput) -> NDArray[np.float32]:
        """A picture answer (rows, cols), raw; restorations change the raw query, also outside of its window."""
        cut, picture = self.cut, said.mean[:, 0].numpy()
        if cut.residual:
            return cut.changed(at, squares, picture)
        return self.examples.target_window.invert(cut.restore(picture))
