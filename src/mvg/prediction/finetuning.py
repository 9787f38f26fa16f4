"""Tuning on the prompts alone: the model learns a request's own prompts for a while, and keeps it if it has helped.

Every pair asks for the target of one prompt slice from slices of other prompts, changed at random as in training. One
prompt volume is held back where there are three or more; whichever model answers it better, tuned or not, is kept.
"""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mvg.canvas import Pairs
from mvg.model.generalist import Generalist
from mvg.prediction.predictor import Predictor, PromptedTask
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.selection.retrieval import spaced
from mvg.training.augmentation import AugmentationSettings, Change, Tone, sample
from mvg.training.batch import ObjectiveContext
from mvg.training.losses import LossSettings, loss_of
from mvg.training.objectives import autoregressive
from mvg.training.optimization import (
    Budget,
    Clock,
    OptimizerSettings,
    Progress,
    StepResult,
    Updater,
    averaged_copy,
    train_loop,
)
from mvg.training.optimizers import optimizers_for

_OPTIMIZER = OptimizerSettings(rate=3e-4, weight_decay=0.01, warmup=0.1, final=0.0, ema=0.98)
_LOSS = LossSettings(smooth_l1=0.8, floor=0.004)
_PROMPTS = (1, 3)  # fewest and most that a pair is asked with
_CLASSES = 3  # most that are asked at once
_CHECKS = 12  # questions put to decide whether tuning has helped
_NEAR = 0.05  # spread of the prompts' relative position about the query's
_TELLING = 0.85  # share of questions whose query shows something
_MILD = AugmentationSettings(zoom=(0.9, 1.15), rotation=8.0, shift=0.04, flips=0.2, inversion=0.0, tone=0.2, noise=0.03)
_PLAIN = AugmentationSettings((1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Tuning:
    """What tuning did: the loss of the check before and after (lower is better), steps, and whether it was kept."""

    before: float
    after: float
    steps: int

    @property
    def kept(self) -> bool:
        """Whether the tuned model answers the check better."""
        return self.after < self.before

    @property
    def told(self) -> str:
        """All of it in a line."""
        result = "kept" if self.kept else "dropped: the weights are used as they were"
        return f"tuning took {self.steps} steps, loss of the check {self.before:.3f} -> {self.after:.3f}, {result}"


def tune(
    task: PromptedTask,
    seconds: float,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[PromptedTask, Tuning]:
    """The same task with a model that has learnt its prompts for `seconds`, or the task itself where that is no better.

    The task's own model is left as it is. A tuned one rejects labels only where the settings say how sure they have to
    be: prompts that were learnt are answered too surely to tell. `progress(seconds gone, seconds)` is called after
    every step; `clock` tells the time in seconds.
    """
    requests = _Requests.of(task.examples, task.asked.sampling == "tiles", task.settings.colors, seed)
    tuned = copy.deepcopy(task.predictor.model).train()
    average = averaged_copy(tuned, _OPTIMIZER.ema)
    averaged = average.module
    assert isinstance(averaged, Generalist)
    before = requests.checked(averaged)
    updater = Updater(tuned, optimizers_for(tuned, _OPTIMIZER), _OPTIMIZER, average)
    rng, run = np.random.default_rng([seed, 1]), Progress()

    def step(pairs: Pairs, _run: Progress, share: float) -> StepResult:
        return StepResult(updater.update(requests.loss(tuned, pairs), share))

    def report(run: Progress, _result: StepResult, _share: float) -> None:
        if progress is not None:
            progress(min(round(run.seconds), round(seconds)), round(seconds))

    train_loop(step, requests.batches(rng), run, Budget(seconds=seconds), [report], Clock(clock))
    said = Tuning(before, requests.checked(averaged), run.step)
    if not said.kept:
        return task, said
    predictor, settings = Predictor(averaged, f"{task.predictor.name}, tuned"), task.settings
    if settings.reject is None:  # how sure a label has to be cannot be told by prompts that were learnt
        settings = replace(settings, reject=0.0)
    return PromptedTask(predictor, task.asked, task.examples, settings, task.close), said


@dataclass(frozen=True, eq=False)
class _Requests:
    """Questions about prompts, put from other prompts: the slices that are learnt from, and those of the check."""

    examples: PromptSet
    native: bool
    colors: tuple[float, ...]  # one per class, where they are fixed
    learnt: NDArray[np.int64]
    checks: NDArray[np.int64]
    seed: int

    @classmethod
    def of(cls, examples: PromptSet, native: bool, colors: tuple[float, ...], seed: int) -> "_Requests":
        volumes = np.unique(examples.volume)
        every = np.arange(len(examples))
        if len(volumes) < 3:  # too few to hold one back: the check is the prompts themselves
            return cls(examples, native, colors, every, spaced(_telling(examples, every), _CHECKS), seed)
        held = volumes[np.random.default_rng(seed).integers(len(volumes))]
        own = every[examples.volume == held]
        learnt, checks = every[examples.volume != held], spaced(_telling(examples, own), _CHECKS)
        return cls(examples, native, colors, learnt, checks, seed)

    def batches(self, rng: np.random.Generator) -> Iterator[Pairs]:
        """Questions to learn from, without end."""
        while True:
            yield self.drawn(rng)

    def drawn(self, rng: np.random.Generator) -> Pairs:
        """A question to learn from, changed at random."""
        some = self.learnt
        if rng.random() < _TELLING:
            some = _telling(self.examples, some)
        return self._pairs(int(rng.choice(some)), rng, _MILD)

    def loss(self, model: Generalist, pairs: Pairs) -> Tensor:
        """What the model's answers cost."""
        patch, device = model.config.patch, next(model.parameters()).device
        pairs = pairs.to(device)
        shown = pairs.painted() if model.config.paints else pairs
        question = autoregressive.ask(shown, patch, ObjectiveContext(torch.Generator(), 0.0, 0.0))
        return loss_of(question.put(model), question, pairs, patch, _LOSS)

    @torch.no_grad()
    def checked(self, model: Generalist) -> float:
        """The mean loss of the check."""
        rng = np.random.default_rng([self.seed, 2])
        return float(np.mean([float(self.loss(model, self._pairs(int(at), rng, _PLAIN))) for at in self.checks]))

    def _pairs(self, query: int, rng: np.random.Generator, augmentation: AugmentationSettings) -> Pairs:
        examples = self.examples
        chosen = [*self._prompts(query, rng), query]
        size = examples.images.shape[-1]
        change, tone = Change.shared(augmentation, rng), Tone.shared(augmentation, rng)
        mode = "nearest" if examples.values else "linear"
        images, targets = [], []
        for image, target in zip(examples.image(chosen), self._targets(chosen), strict=True):
            moved = change if self.native else change.own(augmentation, rng)
            picture = sample(image, None, moved, size, "linear")
            images.append(tone.own(augmentation, rng).apply(picture) if examples.values else tone.apply(picture))
            wanted = sample(target, None, moved, size, mode)  # type: ignore[arg-type]
            targets.append(wanted if examples.values else tone.apply(wanted))
        shown, stacked = torch.stack(images)[None, :, None], torch.stack(targets)[None, :, None]
        names = ("",) * len(chosen)
        if not examples.values:
            return Pairs(shown, stacked, torch.ones(1, 1, dtype=torch.bool), torch.ones(1, 1), (names,), "image")
        present = np.flatnonzero(examples.shows(chosen[:-1])) + 1
        classes = self._apart(rng.permutation(present if len(present) else [1]))[: int(rng.integers(1, _CLASSES + 1))]
        channels = (stacked == torch.from_numpy(classes).view(1, 1, -1, 1, 1)).float()
        colors = torch.linspace(1, 0, len(classes) + 1)[:-1]
        if self.colors:
            colors = torch.tensor([self.colors[number - 1] for number in classes])
        return Pairs(shown, channels, torch.ones(1, len(classes), dtype=torch.bool), colors[None], (names,), "labels")

    def _apart(self, classes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of classes that have one fixed color the first alone: they are asked one after the other."""
        if not self.colors:
            return classes
        _, first = np.unique([self.colors[number - 1] for number in classes], return_index=True)
        return classes[np.sort(first)]

    def _targets(self, chosen: list[int]) -> NDArray[np.float32]:
        if self.examples.values:
            return self.examples.targets[chosen].astype(np.float32)
        return self.examples.picture(chosen)

    def _prompts(self, query: int, rng: np.random.Generator) -> list[int]:
        """Slices at about the query's place in other volumes; in its own where there is but one."""
        examples, position = self.examples, self.examples.shelf.position
        others = self.learnt[examples.volume[self.learnt] != examples.volume[query]]
        if not len(others):
            others = self.learnt[self.learnt != query]
        if not len(others):
            return [query]
        found = []
        for volume in rng.permutation(np.unique(examples.volume[others]))[
            : int(rng.integers(_PROMPTS[0], _PROMPTS[1] + 1))
        ]:
            own = others[examples.volume[others] == volume]
            away = np.abs(position[own] - position[query] - rng.normal(0, _NEAR)) + rng.uniform(0, 1e-3, len(own))
            found.append(int(own[away.argmin()]))
        return found


def _telling(examples: PromptSet, some: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the slices that show something, or all of them."""
    if not examples.values:
        return some
    full = some[examples.present[some].any(axis=1)]
    return full if len(full) else some
