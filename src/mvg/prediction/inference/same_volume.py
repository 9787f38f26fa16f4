"""Slices of a volume predicted from annotated slices of the same volume.

The network predicts a slice from the nearest annotated slice on each side. Learnt fusion then weighs its log-odds, the
outlines interpolated between annotated slices, and the slices beside it. Weights without a fusion network use a rule.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mvg.model.outputs import PromptState
from mvg.model.slice_network import REACH
from mvg.prediction.inference.evidence import AnnotatedSquare, Neighbors, SliceStack, VolumeScale, evidence_maps
from mvg.prediction.inference.label_regions import LabelRegion, magnified
from mvg.prediction.inference.other_knowledge import NOTHING_ELSE, OtherKnowledge, no_others
from mvg.prediction.inference.parallel import in_parallel, one_thread_per_operation
from mvg.prediction.inference.query_volume import QueryFeatures
from mvg.prediction.inference.recent import Recent
from mvg.prediction.inference.slice_answer import Magnified, SliceAnswer, answered

_BATCH = 8  # slices that the network answers together
_FUSED = 24  # slices that are fused together; those within reach of them are processed too
_ABSENT = -30.0  # log-odds of a class that no prompt holds
_NEGLIGIBLE = -7.0  # log-odds below which a class is not fused
_LOG_ODDS_BYTES = 2**29  # at most; twice those of all slices, so that an undone correction costs nothing
_QUICK_REACH = 2  # slices on each side that a first answer looks at


Combination = Literal["learnt", "rule", "network", "outlines"]
"""What an answer is made of: learnt fusion, or a rule where the weights have none; the network and interpolated
outlines by a rule; the network alone; interpolated outlines alone. All but the first are for comparisons.
"""


class SameVolume:
    """Predicts the slices of one query; the query has one frame. Computed values are kept between corrections."""

    def __init__(
        self, features: QueryFeatures, classes: int, scale: VolumeScale, known: OtherKnowledge = NOTHING_ELSE,
        combination: Combination = "learnt",
    ) -> None:  # fmt: skip
        self._model, self.features = features.model, features
        self._classes, self._scale, self._combination = classes, scale, combination
        self._others, self._first, self._missing = known.prompts, known.log_odds, list(range(classes))
        self._given: dict[int, NDArray[np.uint8]] = {}
        self._regions: tuple[LabelRegion, ...] = ()
        self._annotated: dict[int, AnnotatedSquare] = {}
        self._versions: dict[int, int] = {}
        self._states: dict[int, tuple[int, PromptState]] = {}
        twice = 2 * len(features.query) * classes * self._model.config.size**2 * np.dtype(np.float16).itemsize
        self._log_odds: Recent[_Key, NDArray[np.float16]] = Recent(min(twice, _LOG_ODDS_BYTES), _nbytes)
        self._latest: dict[int, _Key] = {}
        self._predictions: dict[int, tuple[tuple[object, ...], SliceAnswer]] = {}

    def annotate(self, annotated: Mapping[int, NDArray[np.uint8]]) -> None:
        """Take the annotated slices, class numbers (rows, cols) by slice number, instead of those before."""
        query = self.features.query
        self._given = dict(annotated)
        squares = {number: query.frames[0].apply_labels(numbers) for number, numbers in annotated.items()}
        for number in self._annotated.keys() | squares.keys():
            before, after = self._annotated.get(number), squares.get(number)
            if after is None:
                self._annotated.pop(number)
                self._states.pop(number, None)
            elif before is None or not np.array_equal(before.numbers, after):
                self._versions[number] = hash(after.tobytes())
                self._annotated[number] = AnnotatedSquare.of(after, query.squares(number)[0, 0], self._classes)
        annotated_classes = {int(value) for numbers in annotated.values() for value in np.unique(numbers)}
        self._missing = [number for number in range(self._classes) if number + 1 not in annotated_classes]

    def magnify(self, regions: Sequence[LabelRegion]) -> None:
        """Take the regions that answer small labels once more, instead of those before."""
        self._regions = tuple(regions)

    @property
    def annotated(self) -> tuple[int, ...]:
        """The numbers of the annotated slices, ascending."""
        return tuple(sorted(self._annotated))

    @property
    def missing(self) -> tuple[int, ...]:
        """The class numbers that no annotated slice shows."""
        return tuple(number + 1 for number in self._missing)

    def is_current(self, number: int) -> bool:
        """Whether the answer for a slice is known already, or the slice is annotated."""
        if number in self._given:
            return True
        return number in self._predictions and self._predictions[number][0] == self._window_key(number, REACH)

    def answer(self, number: int) -> SliceAnswer:
        """The prediction for one slice; an annotated one is as it was given."""
        if number in self._given:
            return SliceAnswer(self._given[number], 0.0, np.zeros(self._classes, np.float32))
        if not self.is_current(number):
            self.prepare([number])
        return self._predictions[number][1]

    def prepare(self, numbers: Sequence[int]) -> None:
        """Predict slices that are near one another together, which costs less than one by one."""
        outdated = [n for n in sorted(numbers) if n not in self._given and not self.is_current(n)]
        for first in range(0, len(outdated), _FUSED):
            part = outdated[first : first + _FUSED]
            window = self._window(range(part[0], part[-1] + 1), REACH)
            with one_thread_per_operation():
                self._network_log_odds(window)
                fused = dict(zip(part, self._fused(window, part), strict=True))
                closer = magnified(self._regions, self.features.query.frames[0], fused)
                both = [(log_odds, closer.get(number, [])) for number, log_odds in fused.items()]
                predictions = list(in_parallel(self._decoded, both))
            for number, prediction in zip(part, predictions, strict=True):
                self._predictions[number] = self._window_key(number, REACH), prediction

    def quick_answer(self, number: int) -> SliceAnswer:
        """The prediction for one slice without waiting for all slices that have an effect on it.

        Slices farther away count as they were answered before the last correction.
        """
        if self.is_current(number):
            return self._predictions[number][1]
        with one_thread_per_operation():
            self._network_log_odds([number])
            near = self._window([number], _QUICK_REACH)
            window = [other for other in near if self._known_log_odds(other) is not None]
            (log_odds,) = self._fused(window, [number])
            return answered(self.features.query, log_odds)

    def fused(self, numbers: Sequence[int], classes: Sequence[int]) -> NDArray[np.float32]:
        """Log-odds (n, K, s, s) of slices, from those close to each; fused for some classes, from 1 on."""
        result = []
        for run in _runs(numbers, 2 * _QUICK_REACH):
            window = self._window(run, _QUICK_REACH)
            self._network_log_odds(window)
            result.append(self._fused(window, run, [number - 1 for number in classes]))
        return np.concatenate(result)

    def forget_features(self) -> None:
        """Free the features of the slices, which are computed again when needed."""
        self.features.clear()
        for region in self._regions:
            region.engine.forget_features()

    def evidence_of(self, numbers: Sequence[int]) -> tuple[SliceStack, dict[int, AnnotatedSquare]]:
        """What fusion is shown of slices, and the annotated slices."""
        self._network_log_odds(numbers)
        return self._stack(numbers), dict(self._annotated)

    def _window(self, numbers: Sequence[int], reach: int) -> list[int]:
        return list(range(max(0, numbers[0] - reach), min(len(self.features.query), numbers[-1] + reach + 1)))

    def _window_key(self, number: int, reach: int) -> tuple[object, ...]:
        missing = () if self._first is None else tuple(self._missing)
        regions = tuple((region.frame, region.classes) for region in self._regions if region.serves(number))
        return (missing, regions, *(self._key(other) for other in self._window([number], reach)))

    def _key(self, number: int) -> "_Key":
        """Names what the evidence of a slice depends on: the annotated slices near it, and their contents."""
        neighbors = Neighbors.of(number, self._annotated)
        used = () if neighbors is None else (neighbors.below, neighbors.above, neighbors.beyond)
        return number, tuple((other, self._versions[other]) for other in used if other is not None)

    def _network_log_odds(self, numbers: Sequence[int]) -> None:
        """Have the network answer slices; those with the same prompts go through it together, several at a time."""
        missing = [n for n in numbers if n not in self._annotated and not self._touch(self._key(n))]
        step = _BATCH if self._others is no_others else 1  # other volumes' prompts are each slice's own
        batches, needed = [], dict[int, None]()
        for key, group in groupby(missing, key=lambda number: self._key(number)[1]):
            members, prompts = list(group), tuple(dict.fromkeys(other for other, _ in key[:2]))
            needed |= dict.fromkeys((*prompts, *members))
            batches += [(members[first : first + step], prompts) for first in range(0, len(members), step)]
        embedded = [list(needed)[first : first + _BATCH] for first in range(0, len(needed), _BATCH)]
        deque(in_parallel(self.features.get, embedded), maxlen=0)
        for prompt in {prompt for _, prompts in batches for prompt in prompts}:
            self._state(prompt)
        for (members, _), scores in zip(batches, in_parallel(self._batch_log_odds, batches), strict=True):
            for number, score in zip(members, scores, strict=True):
                self._log_odds.put(self._key(number), score)
                self._latest[number] = self._key(number)

    def _touch(self, key: "_Key") -> bool:
        """Whether log-odds are known; they are then not dropped before as many others were used."""
        if key in self._log_odds:
            self._log_odds.get(key)
            return True
        return False

    def _batch_log_odds(self, batch: tuple[Sequence[int], tuple[int, ...]]) -> NDArray[np.float16]:
        """Log-odds (n, K, s, s) of slices from annotated slices and, where there are some, other volumes' prompts."""
        (numbers, prompts), side = batch, self._model.config.size
        scores = np.full((len(numbers), self._classes, side, side), _ABSENT, np.float16)
        states = [self._state(prompt) for prompt in prompts]
        classes = {int(value) for prompt in prompts for value in np.unique(self._annotated[prompt].numbers) if value}
        others = self._others(numbers[0])
        if others is not None:
            states.append(others)
            classes = set(range(1, self._classes + 1))
        if classes:
            state = states[0] if len(states) == 1 else PromptState.concatenate(states)
            present = [value - 1 for value in sorted(classes)]
            with torch.inference_mode():
                logits = self._model.answer(self.features.get(numbers), state, "labels").cpu()[:, present]
            scores[:, present] = _log_odds_of(logits)
        return scores

    def _known_log_odds(self, number: int) -> NDArray[np.float16] | None:
        """The log-odds of a slice, where they were not computed yet those before the last correction; None without."""
        for key in (self._key(number), self._latest.get(number)):
            if key is not None and key in self._log_odds:
                return self._log_odds.get(key)
        if number in self._annotated:
            return np.full((self._classes, self._model.config.size, self._model.config.size), _ABSENT, np.float16)
        return None

    def _fused(
        self, window: Sequence[int], wanted: Sequence[int], classes: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """Log-odds (n, K, s, s) of the wanted slices of a window; fused for some classes, from 0 on, None for all."""
        rows, stack = [window.index(number) for number in wanted], self._stack(window)
        result = stack.log_odds[rows].astype(np.float32)
        if self._combination == "network":
            return result
        fuse = self._by_fusion if self._combination == "learnt" and self._model.fusion is not None else self._by_rule
        likely = np.flatnonzero(result.max(axis=(0, 2, 3)) > _NEGLIGIBLE).tolist()
        likely = [number for number in likely if classes is None or number in classes]
        for number, fused in zip(likely, in_parallel(partial(fuse, stack), likely), strict=True):
            possible = result[:, number].max(axis=(1, 2)) > _ABSENT
            result[possible, number] = fused[rows][possible]
        if self._first is not None and self._missing:
            for row, number in enumerate(wanted):
                result[row, self._missing] = self._first(number)[self._missing]
        return result

    def _stack(self, numbers: Sequence[int]) -> SliceStack:
        """Slices whose log-odds are known."""
        known = [self._known_log_odds(number) for number in numbers]
        log_odds = np.stack([array for array in known if array is not None])
        images = np.concatenate([self.features.get([number]).images[:, 0].cpu().numpy() for number in numbers])
        return SliceStack(tuple(numbers), images, log_odds, self._scale.pixel, self._scale.thickness)

    def _by_fusion(self, stack: SliceStack, number: int) -> NDArray[np.float32]:
        fusion = self._model.fusion
        assert fusion is not None
        maps = torch.from_numpy(evidence_maps(stack, self._annotated, [number]))
        with torch.inference_mode():
            return np.asarray(fusion(maps.to(next(fusion.parameters()).device))[0].cpu().numpy())

    def _by_rule(self, stack: SliceStack, number: int) -> NDArray[np.float32]:
        """The log-odds, unless outlines alone are wanted, plus the interpolated distances over the gap."""
        fused = stack.log_odds[:, number].astype(np.float32)
        if self._combination == "outlines":
            fused = np.full_like(fused, -1e-3)
        for row, slice_number in enumerate(stack.numbers):
            neighbors = Neighbors.of(slice_number, self._annotated)
            if neighbors is not None and neighbors.above > neighbors.below:
                fused[row] += neighbors.prior([number])[0] / (neighbors.above - neighbors.below)
        return fused

    def _decoded(self, both: tuple[NDArray[np.float32], list[Magnified]]) -> SliceAnswer:
        return answered(self.features.query, *both)

    def _state(self, number: int) -> PromptState:
        version = self._versions[number]
        if number not in self._states or self._states[number][0] != version:
            numbers = np.arange(1, self._classes + 1)[:, None, None]
            targets = torch.from_numpy(np.asarray(self._annotated[number].numbers == numbers, np.float32))
            with torch.inference_mode():
                features = self.features.get([number])
                state = self._model.encode(features, targets[None, None].to(features.images.device), "labels")
            self._states[number] = version, state
        return self._states[number][1]


_Key = tuple[int, tuple[tuple[int, int], ...]]


def _runs(numbers: Sequence[int], gap: int) -> list[list[int]]:
    """Ascending numbers, parted where two are farther apart than `gap`."""
    parts = [[numbers[0]]]
    for number in numbers[1:]:
        if number - parts[-1][-1] > gap:
            parts.append([])
        parts[-1].append(number)
    return parts


def _nbytes(array: NDArray[np.float16]) -> int:
    return array.nbytes


def _log_odds_of(logits: torch.Tensor) -> NDArray[np.float32]:
    """Log-odds (n, k, s, s) of each class against the others and the background."""
    probabilities = torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1).softmax(1)[:, 1:]
    return np.asarray(torch.logit(probabilities.clamp(1e-6, 1 - 1e-6)).numpy())
