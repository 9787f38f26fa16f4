"""Slices of a volume predicted from annotated slices of the same volume.

A slice is predicted from the nearest annotated slice on each side. Between two annotated slices the interpolated
outlines are a prior: the network's log-odds are added to signed distances over the gap, times a weight. The annotated
slices determine the weight: each is predicted from its neighbors, with several weights.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from mvg.model.generalist import Generalist
from mvg.model.outputs import PromptState
from mvg.prediction.inference.query_volume import QueryFeatures, QueryVolume
from mvg.prediction.inference.shape_prior import interpolated, signed_distances
from mvg.prediction.inference.slices import SliceLabels, decode_labels

_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)  # of the prior: log-odds per pixel of distance, times the gap in slices
_DEFAULT_WEIGHT = 1.0  # with fewer than three annotated slices
_ABSENT = -30.0  # log-odds of a class that no prompt holds


class SameVolume:
    """Predicts the slices of one query; the query has one frame. Computed values are kept between corrections."""

    def __init__(self, model: Generalist, query: QueryVolume, classes: int) -> None:
        self._model, self._classes = model, classes
        self.features = QueryFeatures(model, query)
        self._squares: dict[int, NDArray[np.uint8]] = {}
        self._states: dict[int, PromptState] = {}
        self._distances: dict[int, NDArray[np.float32]] = {}
        self._log_odds: dict[tuple[int, tuple[int, ...]], NDArray[np.float32]] = {}
        self._weight = _DEFAULT_WEIGHT

    def annotate(self, annotated: Mapping[int, NDArray[np.uint8]]) -> frozenset[int]:
        """Take the annotated slices, class numbers (rows, cols) by slice number; returns those that changed."""
        frame = self.features.query.frames[0]
        squares = {number: frame.apply_labels(numbers) for number, numbers in annotated.items()}
        changed = {
            number
            for number in squares.keys() | self._squares.keys()
            if not _equal(squares.get(number), self._squares.get(number))
        }
        for number in changed:
            for kept in (self._states, self._distances):
                kept.pop(number, None)
        self._log_odds = {key: value for key, value in self._log_odds.items() if not changed & {*key[1]}}
        self._squares = squares
        if changed:
            self._weight = self._best_weight()
        return frozenset(changed)

    def neighbors(self, number: int) -> tuple[int, ...]:
        """The nearest annotated slices below and above a slice."""
        below = [other for other in self._squares if other < number]
        above = [other for other in self._squares if other > number]
        return (*([max(below)] if below else []), *([min(above)] if above else []))

    def labels(self, number: int) -> SliceLabels:
        """The prediction for one slice."""
        scores = self._fused(number, self.neighbors(number), self._weight)
        logits = torch.from_numpy(np.concatenate([np.zeros_like(scores[:1]), scores]))
        return decode_labels(self.features.query, logits.softmax(0)[None].numpy())

    def _fused(self, number: int, prompts: tuple[int, ...], weight: float) -> NDArray[np.float32]:
        """Log-odds (K, s, s) of the network and, between two prompts, of the prior."""
        scores = self._predicted(number, prompts)
        if len(prompts) < 2 or weight == 0:
            return scores
        below, above = prompts
        gap = above - below
        prior = interpolated(self._distance(below), self._distance(above), (number - below) / gap)
        return np.asarray(scores + np.float32(weight / gap) * prior)

    def _predicted(self, number: int, prompts: tuple[int, ...]) -> NDArray[np.float32]:
        key = (number, prompts)
        if key not in self._log_odds:
            self._log_odds[key] = self._network_log_odds(number, prompts)
        return self._log_odds[key]

    def _network_log_odds(self, number: int, prompts: tuple[int, ...]) -> NDArray[np.float32]:
        side = self._model.config.size
        scores = np.full((self._classes, side, side), _ABSENT, np.float32)
        states = [self._state(prompt) for prompt in prompts]
        classes = {int(value) for prompt in prompts for value in np.unique(self._squares[prompt]) if value}
        if not classes:
            return scores
        state = states[0] if len(states) == 1 else PromptState.concatenate(states)
        present = [value - 1 for value in sorted(classes)]
        with torch.inference_mode():
            logits = self._model.answer(self.features.get([number]), state, "labels")[0].cpu()[present]
        probabilities = torch.cat([torch.zeros_like(logits[:1]), logits]).softmax(0)[1:].clamp(1e-6, 1 - 1e-6)
        scores[present] = torch.logit(probabilities).numpy()
        return scores

    def _state(self, number: int) -> PromptState:
        if number not in self._states:
            numbers = np.arange(1, self._classes + 1)[:, None, None]
            targets = torch.from_numpy(np.asarray(self._squares[number] == numbers, np.float32))
            with torch.inference_mode():
                features = self.features.get([number])
                self._states[number] = self._model.encode(
                    features, targets[None, None].to(features.images.device), "labels"
                )
        return self._states[number]

    def _distance(self, number: int) -> NDArray[np.float32]:
        if number not in self._distances:
            self._distances[number] = signed_distances(self._squares[number], self._classes)
        return self._distances[number]

    def _best_weight(self) -> float:
        """The weight with which annotated slices are best predicted from the annotated slices beside them."""
        numbers = sorted(self._squares)
        if len(numbers) < 3:
            return _DEFAULT_WEIGHT
        scores = []
        for weight in _WEIGHTS:
            overlaps = [
                _overlap(self._fused(number, (below, above), weight), self._squares[number])
                for below, number, above in zip(numbers, numbers[1:], numbers[2:], strict=False)
            ]
            scores.append(np.sum(overlaps, axis=0))
        dice = [2 * correct / max(total, 1) for correct, total in scores]
        return _WEIGHTS[int(np.argmax(dice))]


def _overlap(scores: NDArray[np.float32], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Correct pixels, and predicted plus true pixels, of all classes together."""
    predicted = np.where(scores.max(0) > 0, scores.argmax(0) + 1, 0)
    correct = ((predicted == truth) & (truth > 0)).sum()
    return np.array([correct, (predicted > 0).sum() + (truth > 0).sum()], np.float64)


def _equal(one: NDArray[np.uint8] | None, other: NDArray[np.uint8] | None) -> bool:
    return one is not None and other is not None and np.array_equal(one, other)
