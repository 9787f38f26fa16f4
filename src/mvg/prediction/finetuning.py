"""Fine-tuning on the prompts alone: the model trains on a task's own prompts, and is kept if it became better.

Each training request predicts one prompt slice from slices of other prompts, augmented as in training. One prompt
volume is held out where there are three or more; the model with the lower loss on it, tuned or not, is kept.
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
from mvg.prediction.selection.retrieval import evenly_spaced
from mvg.training.augmentation import NO_AUGMENTATION, AugmentationSettings, Change, Tone, sample
from mvg.training.batch import ObjectiveContext, pairs_for
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

_OPTIMIZER = OptimizerSettings(
    learning_rate=3e-4, weight_decay=0.01, warmup_fraction=0.1, final_fraction=0.0, ema_decay=0.98
)
_LOSS = LossSettings(smooth_l1=0.8, relative_floor=0.004)
_PROMPTS = (1, 3)  # fewest and most prompts of a request
_MAX_CLASSES = 3  # of a request
_CHECKS = 12  # requests whose loss decides whether the tuned model is kept
_POSITION_JITTER = 0.05  # standard deviation of the prompts' relative position around the query's
_LABELED = 0.85  # share of requests whose query holds a label
_AUGMENTATION = AugmentationSettings(
    zoom=(0.9, 1.15), rotation=8.0, shift=0.04, flip_fraction=0.2, inversion_fraction=0.0, tone=0.2, noise=0.03
)


@dataclass(frozen=True)
class Tuning:
    """The result of tuning: the loss of the check before and after (lower is better), and the number of steps."""

    before: float
    after: float
    steps: int

    @property
    def kept(self) -> bool:
        """Whether the tuned model has the lower loss."""
        return self.after < self.before

    @property
    def message(self) -> str:
        """The result in one line."""
        result = "kept" if self.kept else "discarded: the weights are used as they were"
        return f"tuning took {self.steps} steps, loss of the check {self.before:.3f} -> {self.after:.3f}, {result}"


def tune(
    task: PromptedTask,
    seconds: float,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[PromptedTask, Tuning]:
    """The same task with a model that trained on its prompts for `seconds`, or the task itself if that is no better.

    The task's own model stays as it is. A tuned task rejects labels only if its options name a minimum probability:
    prompts that were trained on no longer determine thresholds. `progress(seconds done, seconds)` is called after every
    step; `clock` returns the time in seconds.
    """
    requests = _Requests.of(task.prompts, task.spec.sampling == "tiles", task.options.colors, seed)
    tuned = copy.deepcopy(task.predictor.model).train().requires_grad_()  # averaged weights are frozen
    average = averaged_copy(tuned, _OPTIMIZER.ema_decay)
    averaged = average.module
    assert isinstance(averaged, Generalist)
    before = requests.check_loss(averaged)
    updater = Updater(tuned, optimizers_for(tuned, _OPTIMIZER), _OPTIMIZER, average)
    rng, run = np.random.default_rng([seed, 1]), Progress()

    def step(pairs: Pairs, _run: Progress, share: float) -> StepResult:
        return StepResult(updater.update(requests.loss(tuned, pairs), share))

    def report(run: Progress, _result: StepResult, _share: float) -> None:
        if progress is not None:
            progress(min(round(run.seconds), round(seconds)), round(seconds))

    train_loop(step, requests.batches(rng), run, Budget(seconds=seconds), [report], Clock(clock))
    tuning = Tuning(before, requests.check_loss(averaged), run.step)
    if not tuning.kept:
        return task, tuning
    predictor, options = Predictor(averaged, f"{task.predictor.name}, tuned"), task.options
    if options.min_probability is None:
        options = replace(options, min_probability=0.0)
    return PromptedTask(predictor, task.spec, task.prompts, options, task.zoom), tuning


@dataclass(frozen=True, eq=False)
class _Requests:
    """Training requests made of prompts: the slices that are trained on, and those of the check.

    colors: one per class where they are fixed.
    """

    prompts: PromptSet
    tiles: bool
    colors: tuple[float, ...]
    training: NDArray[np.int64]
    checks: NDArray[np.int64]
    seed: int

    @classmethod
    def of(cls, prompts: PromptSet, tiles: bool, colors: tuple[float, ...], seed: int) -> "_Requests":
        volumes, indices = np.unique(prompts.volume), np.arange(len(prompts))
        if len(volumes) < 3:  # too few to hold one out: the check is the prompts themselves
            return cls(prompts, tiles, colors, indices, evenly_spaced(_labeled(prompts, indices), _CHECKS), seed)
        held_out = prompts.volume == volumes[np.random.default_rng(seed).integers(len(volumes))]
        checks = evenly_spaced(_labeled(prompts, indices[held_out]), _CHECKS)
        return cls(prompts, tiles, colors, indices[~held_out], checks, seed)

    def batches(self, rng: np.random.Generator) -> Iterator[Pairs]:
        """Augmented training requests, without end."""
        while True:
            queries = self.training
            if rng.random() < _LABELED:
                queries = _labeled(self.prompts, queries)
            yield self._pairs(int(rng.choice(queries)), rng, _AUGMENTATION)

    def loss(self, model: Generalist, pairs: Pairs) -> Tensor:
        """The loss of the model on one request."""
        patch, device = model.config.patch, next(model.parameters()).device
        pairs = pairs.to(device)
        inputs = pairs_for(model.config, pairs)
        batch = autoregressive.make_batch(inputs, patch, ObjectiveContext(torch.Generator(), 0.0))
        return loss_of(batch.run(model), batch, pairs, patch, _LOSS)

    @torch.no_grad()
    def check_loss(self, model: Generalist) -> float:
        """The mean loss of the check."""
        rng = np.random.default_rng([self.seed, 2])
        losses = [float(self.loss(model, self._pairs(int(n), rng, NO_AUGMENTATION))) for n in self.checks]
        return float(np.mean(losses))

    def _pairs(self, query: int, rng: np.random.Generator, augmentation: AugmentationSettings) -> Pairs:
        """One request: prompts, then the query."""
        prompts, chosen = self.prompts, [*self._prompts_for(query, rng), query]
        images, targets = self._augmented(chosen, rng, augmentation)
        patients = (("",) * len(chosen),)
        if not prompts.has_labels:
            used = torch.ones(1, 1, dtype=torch.bool)
            return Pairs(images[None], targets[None], used, torch.ones(1, 1), patients, "image")
        present = np.flatnonzero(prompts.classes_in(chosen[:-1])) + 1
        classes = self._differently_colored(rng.permutation(present if len(present) else [1]))
        classes = classes[: int(rng.integers(1, _MAX_CLASSES + 1))]
        channels = (targets[None] == torch.from_numpy(classes).view(1, 1, -1, 1, 1)).float()
        colors = torch.linspace(1, 0, len(classes) + 1)[:-1]
        if self.colors:
            colors = torch.tensor([self.colors[number - 1] for number in classes])
        used = torch.ones(1, len(classes), dtype=torch.bool)
        return Pairs(images[None], channels, used, colors[None], patients, "labels")

    def _augmented(
        self, chosen: list[int], rng: np.random.Generator, augmentation: AugmentationSettings
    ) -> tuple[Tensor, Tensor]:
        """Images (n, i, s, s) and targets (n, 1, s, s) of some slices, each changed by itself."""
        labels, size = self.prompts.has_labels, self.prompts.images.shape[-1]
        shared, tone = Change.shared(augmentation, rng), Tone.shared(augmentation, rng)
        images, targets = [], []
        for image, target in zip(self.prompts.image_batch(chosen), self._targets(chosen), strict=True):
            change = shared if self.tiles else shared.individual(augmentation, rng)
            picture = torch.stack([sample(channel, None, change, size, "linear") for channel in image])
            images.append(tone.individual(augmentation, rng).apply(picture) if labels else tone.apply(picture))
            moved = sample(target, None, change, size, "nearest" if labels else "linear")
            targets.append(moved if labels else tone.apply(moved))
        return torch.stack(images), torch.stack(targets)[:, None]

    def _differently_colored(self, classes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of classes that share a fixed color the first only: they are predicted one after the other."""
        if not self.colors:
            return classes
        _, first = np.unique([self.colors[number - 1] for number in classes], return_index=True)
        return classes[np.sort(first)]

    def _targets(self, chosen: list[int]) -> NDArray[np.float32]:
        if self.prompts.has_labels:
            return self.prompts.targets[chosen].astype(np.float32)
        return self.prompts.picture_batch(chosen)

    def _prompts_for(self, query: int, rng: np.random.Generator) -> list[int]:
        """Slices of other volumes near the query's position; of its own volume where there is only one."""
        prompts, position = self.prompts, self.prompts.retrieval_index.position
        others = self.training[prompts.volume[self.training] != prompts.volume[query]]
        if not len(others):
            others = self.training[self.training != query]
        if not len(others):
            return [query]
        volumes = rng.permutation(np.unique(prompts.volume[others]))
        chosen = []
        for volume in volumes[: int(rng.integers(_PROMPTS[0], _PROMPTS[1] + 1))]:
            members = others[prompts.volume[others] == volume]
            offset = position[members] - position[query] - rng.normal(0, _POSITION_JITTER)
            distance = np.abs(offset) + rng.uniform(0, 1e-3, len(members))
            chosen.append(int(members[distance.argmin()]))
        return chosen


def _labeled(prompts: PromptSet, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """The slices that hold a label; all of them where none does, and for pictures."""
    if not prompts.has_labels:
        return indices
    labeled = indices[prompts.classes[indices].any(axis=1)]
    return labeled if len(labeled) else indices
