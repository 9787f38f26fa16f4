"""How in-context rivals learn: on episodes drawn as our model's are, within the same budget."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mvg._atomic import atomic_file
from mvg.benchmark.protocol.method import TrainingData
from mvg.canvas import Pairs
from mvg.errors import BenchmarkError
from mvg.tasks import Task
from mvg.training.augmentation import AugmentationSettings
from mvg.training.episodes import EpisodeData, Episodes, loader
from mvg.training.optimization import OptimizerSettings
from mvg.training.optimizers import BETAS
from mvg.training.requests import EpisodeSettings

_CHECKPOINT = 60.0  # seconds between two


@dataclass(frozen=True)
class TrainingSetup:
    """How a rival learns: on which of the lesson's tasks, at which picture side, on which episodes, how fast."""

    tasks: tuple[Task, ...]
    size: int
    episodes: EpisodeSettings
    optimizer: OptimizerSettings
    workers: int = 1


@dataclass
class TrainingLog:
    """How much was learnt: steps, query slices, seconds, and the loss of every step."""

    steps: int = 0
    samples: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


Loss = Callable[[Pairs, torch.Generator], Tensor]
"""(episode, what a step may draw from, on the CPU) -> the loss of the network that learns."""


@contextmanager
def first_weights(seed: int) -> Iterator[None]:
    """Networks that are built inside start from weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def train_for_budget(
    network: nn.Module, loss_of: Loss, course: TrainingSetup, lesson: TrainingData, name: str = "checkpoint"
) -> TrainingLog:
    """Spend the budget with AdamW (warm-up, cosine); the network ends with averaged weights, ready to answer.

    A step depends on (seed, step) alone and a checkpoint is written about every minute, so a lesson that was cut short
    ends as if it had not been; with a budget in minutes the rate follows the clock. One that is over is read back.
    Raises BenchmarkError for sets that are not prepared and for a checkpoint of something else.
    """
    device, path = torch.device(lesson.device), lesson.folder / f"{name}.pt"
    network.to(device).train()
    average, settings = deepcopy(network), course.optimizer
    optimizer = torch.optim.AdamW(_groups(network, settings), lr=settings.learning_rate, betas=BETAS)
    learnt = _resumed(path, network, average, optimizer, device) if path.exists() else TrainingLog()
    saved = learnt.seconds
    batches: Iterator[Pairs] | None = None
    while (done := lesson.budget.done(learnt.seconds, learnt.samples)) < 1:
        started = time.monotonic()
        if batches is None:
            batches = loader(_episodes(course, lesson), learnt.steps, course.workers)
        pairs = next(batches).to(device)
        for group in optimizer.param_groups:
            group["lr"] = settings.rate_at(done)
        seed = np.random.SeedSequence([lesson.seed, learnt.steps]).generate_state(1)[0]
        drawn = torch.Generator().manual_seed(int(seed))
        with lesson.autocast():
            loss = loss_of(pairs, drawn)
        loss.backward()  # type: ignore[no-untyped-call]
        if torch.isfinite(nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)):
            optimizer.step()
        optimizer.zero_grad()
        decay = min(settings.ema_decay, (1 + learnt.steps) / (10 + learnt.steps))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
        learnt.losses.append(float(loss.detach()))
        learnt.steps, learnt.samples = learnt.steps + 1, learnt.samples + len(pairs.images)
        learnt.seconds += time.monotonic() - started
        if learnt.seconds - saved >= _CHECKPOINT:
            saved = learnt.seconds
            _save(path, network, average, optimizer, learnt)
    if batches is not None:
        _save(path, network, average, optimizer, learnt)
    network.load_state_dict(average.state_dict())
    network.eval().requires_grad_(requires_grad=False)
    return learnt


def _episodes(course: TrainingSetup, lesson: TrainingData) -> Episodes:
    names = {task.card.name for task in course.tasks}
    sets = {name: stored for name, stored in lesson.store.sets.items() if stored.card.name in names}
    missing = names - {stored.card.name for stored in sets.values()}
    if missing or not names:
        raise BenchmarkError(
            f"{lesson.store.folder} lacks {', '.join(sorted(missing)) or 'anything to learn'}",
            "every set of the lesson, prepared, with a task that the method serves",
            "prepare them with 'mvg prepare'",
        )
    kinds = tuple(sorted({task.kind for task in course.tasks}))
    data = EpisodeData(replace(lesson.store, sets=sets), kinds=kinds)
    return Episodes(data, course.episodes, AugmentationSettings(), course.size, lesson.seed)


def _groups(network: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
    """Weight decay for matrices alone."""
    decayed = [p for p in network.parameters() if p.ndim >= 2]
    others = [p for p in network.parameters() if p.ndim < 2]
    return [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]


def _save(
    path: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, learnt: TrainingLog
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: part.state_dict() for name, part in _parts(network, average, optimizer).items()}
    with atomic_file(path) as temporary:
        torch.save(state | {"learnt": vars(learnt)}, temporary)


def _resumed(
    path: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> TrainingLog:
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        for name, part in _parts(network, average, optimizer).items():
            part.load_state_dict(state[name])
        return TrainingLog(**state["learnt"])
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, UnpicklingError) as problem:
        raise BenchmarkError(
            f"{path} is no checkpoint of this method ({(str(problem).splitlines() or [''])[0]})",
            "what an earlier lesson with the same settings wrote",
            "remove it to learn anew",
        ) from problem


def _parts(network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {"network": network, "average": average, "optimizer": optimizer}
