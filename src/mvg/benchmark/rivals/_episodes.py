"""How in-context rivals train: on episodes that are drawn as those of our model."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn

from mvg.benchmark.protocol.method import TrainingData
from mvg.benchmark.rivals._training import Checkpoint, TrainingLog, step_seed, train_for_budget
from mvg.canvas import Pairs
from mvg.errors import BenchmarkError
from mvg.tasks import Task
from mvg.training.augmentation import AugmentationSettings
from mvg.training.episodes import EpisodeData, Episodes
from mvg.training.loading import loader
from mvg.training.optimization import OptimizerSettings, Progress, StepResult, Updater, averaged_copy
from mvg.training.optimizers import optimizers_for
from mvg.training.requests import EpisodeSettings

Loss = Callable[[Pairs, torch.Generator], Tensor]
"""(episode, the random generator of the step, on the CPU) -> the loss of the network that is trained."""


@dataclass(frozen=True)
class TrainingSetup:
    """How a rival trains: on which tasks, with which picture side (pixels), episodes and optimizer.

    workers: processes that make episodes.
    """

    tasks: tuple[Task, ...]
    size: int
    episodes: EpisodeSettings
    optimizer: OptimizerSettings
    workers: int = 1


def train_on_episodes(
    network: nn.Module, loss: Loss, setup: TrainingSetup, data: TrainingData, name: str = "checkpoint"
) -> TrainingLog:
    """Spend the budget with AdamW; the network ends with averaged weights, ready to predict.

    name: of the checkpoint's file. Raises BenchmarkError for sets that are not prepared and for a checkpoint of another
    training.
    """
    device = torch.device(data.device)
    network.to(device).train()
    average = averaged_copy(network, setup.optimizer.ema_decay)
    optimizers = optimizers_for(network, setup.optimizer)
    updater = Updater(network, optimizers, setup.optimizer, average)

    def step(pairs: Pairs, progress: Progress, share: float) -> StepResult:
        generator = torch.Generator().manual_seed(step_seed(data, progress.step))
        with data.autocast():
            value = loss(pairs.to(device), generator)
        return StepResult(updater.update(value, share), len(pairs.images))

    def batches(start: int) -> Iterator[Pairs]:
        return loader(_episodes(setup, data), start, setup.workers)

    identity = {
        "tasks": sorted(f"{task.card.name}/{task.name}" for task in setup.tasks), "seed": data.seed, "size": setup.size,
        **asdict(setup.episodes), **asdict(setup.optimizer), **asdict(data.budget),
    }  # fmt: skip
    parts = [network, average, *optimizers]
    log = train_for_budget(step, batches, data, Checkpoint(data.folder / f"{name}.pt", data.device, parts, identity))
    network.load_state_dict(average.module.state_dict())
    network.eval().requires_grad_(requires_grad=False)
    return log


def _episodes(setup: TrainingSetup, data: TrainingData) -> Episodes:
    names = {task.card.name for task in setup.tasks}
    sets = {name: stored for name, stored in data.store.sets.items() if stored.card.name in names}
    missing = names - {stored.card.name for stored in sets.values()}
    if missing or not names:
        raise BenchmarkError(
            f"{data.store.folder} lacks {', '.join(sorted(missing)) or 'sets to learn from'}",
            "every trained set, prepared, with a task that the method serves",
            "prepare them with 'mvg prepare'",
        )
    kinds = tuple(sorted({task.kind for task in setup.tasks}))
    episode_data = EpisodeData(replace(data.store, sets=sets), kinds=kinds)
    return Episodes(episode_data, setup.episodes, AugmentationSettings(), setup.size, data.seed)
