"""What trained rivals have in common: the loop for a budget, initial weights, and checkpoints."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from mvg._atomic import atomic_file
from mvg.benchmark.protocol.method import TrainingData
from mvg.errors import BenchmarkError, first_line
from mvg.training.optimization import Budget, Every, Progress, StepResult, train_loop

TrainingClock = Literal["wall", "processor"]
"""What counts the seconds of a training: the clock, or the time that the process had of a processor."""
CLOCKS: dict[TrainingClock, Callable[[], float]] = {"wall": time.monotonic, "processor": time.process_time}
SAVE_EVERY = 60.0  # seconds between two checkpoints
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class TrainingLog:
    """How long a method was trained: steps, samples (query slices), seconds, and the loss of every step."""

    steps: int = 0
    samples: int = 0
    seconds: float = 0.0
    losses: tuple[float, ...] = ()


@contextmanager
def initial_weights(seed: int) -> Iterator[None]:
    """Networks that are built inside start from weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def step_seed(data: TrainingData, step: int) -> int:
    """The seed of everything that is random in a step."""
    return int(np.random.SeedSequence([data.seed, step]).generate_state(1)[0])


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A file with everything that training changes.

    parts: networks, averages and optimizers, which have a `state_dict`. identity: what another training must share to
    continue from the file; its name: value pairs are plain values.
    """

    path: Path
    device: str
    parts: Sequence[Any]
    identity: Mapping[str, Any]
    losses: list[float] = field(default_factory=list)

    def read(self) -> Progress:
        """The progress of earlier training, with all parts as they were then; nothing where there is no file.

        Raises BenchmarkError for a file that is damaged or of another training.
        """
        if not self.path.exists():
            return Progress()
        identity = _plain(self.identity)
        try:
            state = torch.load(self.path, map_location=self.device, weights_only=True)
            differing = [name for name, value in identity.items() if state["identity"].get(name) != value]
            if differing:
                raise ValueError(", ".join(differing))
            for part, saved in zip(self.parts, state["parts"], strict=True):
                part.load_state_dict(saved)
            self.losses[:] = state["losses"]
            return Progress(**state["progress"])
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, UnpicklingError) as error:
            raise BenchmarkError(
                f"{self.path} is not a checkpoint of this training ({first_line(error)})",
                "the checkpoint of the same task, seed, budget and options",
                "remove it to train again",
            ) from error

    def write(self, progress: Progress) -> None:
        """Write the file, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "identity": _plain(self.identity), "parts": [part.state_dict() for part in self.parts],
            "losses": self.losses, "progress": vars(progress),
        }  # fmt: skip
        with atomic_file(self.path) as temporary:
            torch.save(state, temporary)


def train_for_budget(
    step: Callable[[Batch, Progress, float], StepResult],
    batches: Callable[[int], Iterator[Batch]],
    data: TrainingData,
    checkpoint: Checkpoint,
) -> TrainingLog:
    """Spend the budget, from where the checkpoint stands.

    step: see `optimization.train_loop`; batches(n): those of step n and after. A checkpoint is written every minute and
    at the end. Where a step depends on (seed, step) alone, interrupted training has the same result as uninterrupted
    training; with a budget in minutes the learning rate follows the clock.
    """
    progress = checkpoint.read()
    budget = Budget(seconds=60 * data.budget.minutes, samples=data.budget.samples)
    if budget.share(progress) < 1:

        def note(_progress: Progress, result: StepResult, _share: float) -> None:
            checkpoint.losses.append(result.loss)

        save = Every(SAVE_EVERY, checkpoint.write, progress.seconds)
        train_loop(step, batches(progress.step), progress, budget, [note, save])
        checkpoint.write(progress)
    return TrainingLog(progress.step, progress.samples, progress.seconds, tuple(checkpoint.losses))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON returns them: lists for tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain
