"""How specialists train: a network, and critics beside it, on the "train" slices of one task of one set."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.benchmark.protocol.method import TrainingData
from mvg.benchmark.rivals._options import TrainingOptions
from mvg.benchmark.rivals._slices import SliceBatch, slice_batches
from mvg.benchmark.rivals._training import Checkpoint, TrainingLog, step_seed, train_for_budget
from mvg.tasks import Task
from mvg.training.optimization import Progress, StepResult, Updater
from mvg.training.optimizers import optimizers_for

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(images (b, 1, s, s) in [0, 1], targets (b, 1, s, s), their predictions (b, outputs, s, s)) -> a scalar."""


class Learner(NamedTuple):
    """A network that has an optimizer of its own, and its loss."""

    network: nn.Module
    loss: Loss


def output_labels(task: Task) -> tuple[int, ...]:
    """Background and the label values of a segmentation's outputs, in order; empty for other tasks."""
    if task.spec.target_type != "labels":
        return ()
    return (0, *sorted(set(task.card.labels) - set(task.card.ignored)))


def predict(network: nn.Module, images: Float[Tensor, "b 1 s s"], task: Task) -> Float[Tensor, "b outputs s s"]:
    """Logits of `output_labels(task)`, or pictures; the network of a residual task outputs a change of the image."""
    output: Tensor = network(images)
    return images + output if task.spec.residual else output


def single_learner(network: nn.Module, task: Task) -> list[Learner]:
    """One network without critics: cross-entropy and Dice for labels, L1 for pictures."""
    labels = output_labels(task)

    def label_loss(_images: Tensor, targets: Tensor, logits: Tensor) -> Tensor:
        one_hot = torch.cat([targets == label for label in labels], dim=1).float()
        probabilities = logits.softmax(dim=1)
        intersection = 2 * (probabilities * one_hot).sum((0, 2, 3)) + 1
        dice = intersection / (probabilities.sum((0, 2, 3)) + one_hot.sum((0, 2, 3)) + 1)
        return F.cross_entropy(logits, one_hot) + 1 - dice[1:].mean()

    def picture_loss(_images: Tensor, targets: Tensor, pictures: Tensor) -> Tensor:
        return F.l1_loss(pictures, targets)

    return [Learner(network, label_loss if labels else picture_loss)]


def train_supervised(learners: Sequence[Learner], options: TrainingOptions, data: TrainingData) -> TrainingLog:
    """Spend the budget on the one task of `data`, or load finished training; networks end ready to predict.

    The first learner predicts; the others (critics) take their steps before it. The slices, changes and dropout of a
    step depend on seed and step alone. Raises BenchmarkError without slices to learn from, or for a checkpoint of
    another training.
    """
    (task,) = data.tasks
    for learner in learners:
        learner.network.to(data.device).train()
    updaters = [
        Updater(learner.network, optimizers_for(learner.network, options.optimizer), options.optimizer)
        for learner in learners
    ]

    def step(batch: SliceBatch, progress: Progress, share: float) -> StepResult:
        images, targets = (part.to(data.device) for part in batch)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step_seed(data, progress.step))
            return StepResult(_update(learners, updaters, (images, targets), data, share), len(images))

    def batches(start: int) -> Iterator[SliceBatch]:
        return slice_batches(options, data, start)

    identity = {**asdict(options), **asdict(data.budget), "workers": 0}
    identity |= {"set": task.card.name, "task": task.name, "seed": data.seed}
    parts = [*(learner.network for learner in learners), *(opt for one in updaters for opt in one.optimizers)]
    log = train_for_budget(step, batches, data, Checkpoint(data.folder / "checkpoint.pt", data.device, parts, identity))
    for learner in learners:
        learner.network.eval().requires_grad_(requires_grad=False)
    return log


def _update(
    learners: Sequence[Learner], updaters: Sequence[Updater], batch: SliceBatch, data: TrainingData, share: float
) -> float:
    """One step of every learner, the first one last; returns its loss."""
    images, targets = batch
    with data.autocast():
        prediction = predict(learners[0].network, images, data.tasks[0]).float()
    for learner, updater in zip(learners[:0:-1], updaters[:0:-1], strict=True):
        with data.autocast():
            loss = learner.loss(images, targets, prediction.detach())
        updater.update(loss, share)
    with data.autocast():
        loss = learners[0].loss(images, targets, prediction)
    return updaters[0].update(loss, share)
