"""A U-Net that learns from the prompts of a request alone: what a user with as many volumes and minutes would train."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mvg.benchmark.protocol.method import Request, Scope, TrainingData
from mvg.benchmark.rivals import unet
from mvg.benchmark.rivals._slices import SliceBatch, augmented
from mvg.benchmark.rivals._specialist import Specialist, check_monai
from mvg.benchmark.rivals._supervised import output_labels, predict, single_learner
from mvg.benchmark.rivals._training import CLOCKS, TrainingClock, TrainingLog, initial_weights
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.prompts.cutting import SliceLayout
from mvg.prediction.prompts.pairs import PairReader, PromptPairs
from mvg.prediction.prompts.prompt_set import PromptSet, prepare
from mvg.tasks import Task
from mvg.training.optimization import Budget, Clock, Progress, StepResult, Updater, train_loop
from mvg.training.optimizers import optimizers_for

SCOPE: Scope = "untrained"
"""Nothing is learned before the request."""
USES_PROMPTS = True
check = check_monai


@dataclass(frozen=True)
class Options(unet.Options):
    """seconds: of training on each set of prompts; clock: what counts them."""

    seconds: float = 120.0
    clock: TrainingClock = "wall"


def serves(task: Task) -> bool:
    """Segmentation of whole slices."""
    return task.spec.target_type == "labels" and task.spec.sampling == "whole"


def fit(options: Options, data: TrainingData) -> "PromptTrained":
    """Nothing yet: each request brings what is learned from. Raises BenchmarkError without MONAI."""
    unet.network_of(options)
    return PromptTrained(options, data)


class PromptTrained:
    """Trains a network for the first request of each set of prompts, and keeps the last one."""

    def __init__(self, options: Options, data: TrainingData) -> None:
        self.options, self.data = options, data
        self._trained: tuple[tuple[str, ...], Specialist] | None = None

    @property
    def steps(self) -> int:
        """The number of training steps for the last prompts."""
        return 0 if self._trained is None else self._trained[1].steps

    def __call__(self, request: Request) -> Volume | LabelMap:
        """The prediction of a network that learned from the request's prompts."""
        key = (request.task.card.name, request.task.name, *sorted(prompt.case for prompt in request.prompts))
        if self._trained is None or self._trained[0] != key:
            self._trained = (key, self._train(request))
        return self._trained[1](request)

    def _train(self, request: Request) -> Specialist:
        options, task, device = self.options, request.task, self.data.device
        pairs = PromptPairs(
            [prompt.image for prompt in request.prompts], [prompt.target for prompt in request.prompts],
            [prompt.case for prompt in request.prompts], request.modality,
        )  # fmt: skip
        prompts = prepare(PairReader(pairs, task.spec, 1), SliceLayout(options.size))
        with initial_weights(self.data.seed):
            network = unet.network_of(options)(len(output_labels(task))).to(device).train()
        steps, losses = self._fitted(network, task, prompts)
        log = TrainingLog(steps, steps * options.batch, options.seconds, tuple(losses))
        network.eval().requires_grad_(requires_grad=False)
        return Specialist(task, network, options.size, prompts.plane, prompts.target_window, device, log)

    def _fitted(self, network: nn.Module, task: Task, prompts: PromptSet) -> tuple[int, list[float]]:
        options, device, losses = self.options, self.data.device, list[float]()
        (learner,) = single_learner(network, task)
        updater = Updater(network, optimizers_for(network, options.optimizer), options.optimizer)

        def step(batch: SliceBatch, _progress: Progress, share: float) -> StepResult:
            images, targets = (part.to(device) for part in batch)
            with self.data.autocast():
                loss = learner.loss(images, targets, predict(network, images, task).float())
            losses.append(updater.update(loss, share))
            return StepResult(losses[-1], len(images))

        progress, budget, clock = Progress(), Budget(seconds=options.seconds), Clock(CLOCKS[options.clock])
        train_loop(step, self._batches(prompts), progress, budget, clock=clock)
        return progress.step, losses

    def _batches(self, prompts: PromptSet) -> Iterator[SliceBatch]:
        """Random prompt slices, changed as those of the other specialists, with label values as targets."""
        rng, values = np.random.default_rng(self.data.seed), np.array([0, *prompts.values], np.float32)
        while True:
            rows = rng.choice(len(prompts), self.options.batch)
            images = torch.from_numpy(prompts.image_batch(rows.tolist()))
            targets = torch.from_numpy(values[prompts.targets[rows]])[:, None]
            yield augmented(images, targets, self.options, rng, "nearest")
