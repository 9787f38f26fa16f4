"""What every method is handed, ours and the rivals alike: material to learn from, then requests. Never the truth."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch

from mvg.data.store import Store
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import Task
from mvg.training.precision import Precision

Scope = Literal["untrained", "specialist", "generalist"]
"""untrained: learns nothing here; specialist: learns one task of one set; generalist: learns all of them at once."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """One example pair on one grid; case and patient name it, so that encodings can be kept."""

    case: str
    patient: str
    image: Volume
    target: Volume | LabelMap


@dataclass(frozen=True, eq=False)
class Request:
    """What a method may see: the task (with the set's card), the query, and prompts of other patients.

    Inpainting: the void is where the query holds its smallest value, as in every prompt's image.
    """

    task: Task
    query: Volume
    prompts: tuple[Prompt, ...]

    @property
    def modality(self) -> str | None:
        """What the set says of its intensities, as `Predictor.prompt` takes it: "CT" for HU, None to guess."""
        return "CT" if self.task.card.units == "HU" else None


@dataclass(frozen=True)
class Budget:
    """How long a method may learn: minutes of wall time, or samples (query slices learnt from); one of them is 0.

    Methods with several phases split it themselves. Budgets are equal for all trained methods of a suite.
    """

    minutes: float = 0.0
    samples: int = 0

    def done(self, seconds: float, samples: int) -> float:
        """The share that is spent, 1 and more when it is over."""
        return seconds / (60 * self.minutes) if self.minutes > 0 else samples / max(1, self.samples)


def plain(name: str) -> str:
    """A name as a file's."""
    return re.sub(r"[^\w.-]+", "_", name)


@dataclass(frozen=True)
class TrainingData:
    """What a method may learn from: the "train" sides of prepared sets.

    tasks: all that the suite asks (a specialist gets one of one set). folder: the method's own, for checkpoints: a
    lesson that was cut short is gone on with, one that is over is only read back; OUT/learnt/METHOD/seedN for a
    generalist, with /SET/TASK behind it for a specialist. device: as torch names it. precision:
    of products and convolutions, as recipes name it; equal for all trained methods of a suite.
    """

    store: Store
    tasks: tuple[Task, ...]
    budget: Budget
    seed: int
    folder: Path
    device: str = "cpu"
    precision: Precision = "32-true"

    def autocast(self) -> torch.autocast:
        """In which a network of plain torch learns."""
        return torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.precision == "bf16-mixed")


@runtime_checkable
class Method(Protocol):
    """A method that is ready to answer."""

    def __call__(self, request: Request) -> Volume | LabelMap:
        """The answer on the query's own grid, affine bit for bit: label values of the card, or raw intensities.

        A method may also have `estimate(request, answer) -> float | None`, in [0, 1]: how good it thinks an answer is.
        """
        ...


@runtime_checkable
class Rival(Protocol):
    """What a file in `baselines/` offers: SCOPE, PROMPTED, a frozen dataclass Settings, `serves` and `learn`.

    PROMPTED: whether answers depend on the prompts; what does not is asked once, whatever the numbers of prompts.
    Settings: options that a suite may set (unknown keys are errors), every one with a default. Extra libraries are
    imported inside of `learn`; where one is missing, it raises BenchmarkError with what to install. A file may also
    offer `check(settings)`, which raises so before anything is learnt.
    """

    SCOPE: Scope
    PROMPTED: bool
    Settings: type[Any]

    def serves(self, task: Task) -> bool:
        """Whether the method can answer this task at all."""
        ...

    def learn(self, settings: Any, lesson: TrainingData) -> Method:
        """Spend the budget (nothing for untrained methods); the same lesson and seed give the same method."""
        ...
