"""What every method receives, ours and the rivals: data to learn from, then requests, never the truth."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from mvg.data.store import Store
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import Task
from mvg.tasks.measurement import Measurement
from mvg.training.precision import Precision

Scope = Literal["untrained", "specialist", "generalist"]
"""untrained: learns nothing here; specialist: learns one task of one set; generalist: learns all of them at once."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """One example pair on one grid; case and patient name it, so that encodings can be cached."""

    case: str
    patient: str
    image: Volume
    target: Volume | LabelMap


@runtime_checkable
class Annotator(Protocol):
    """A user who draws the labels of up to `count` slices of the query, along its own plane."""

    count: int

    def evenly(self) -> tuple[int, ...]:
        """The indices of evenly spaced slices, as a user who looks through the volume chooses them."""
        ...

    def annotate(self, index: int) -> NDArray[np.integer[Any]]:
        """The labels of a slice in array order, as `Session.correct` takes them."""
        ...


@dataclass(frozen=True, eq=False)
class Request:
    """What a method may see: the task (with the set's card), the query, and prompts of other patients.

    In an inpainting, the void is where the query has its smallest value; the same holds for the image of every prompt.
    annotator: where slices of the query itself may be asked for. measurement: the raw data of the query, where it has
    any.
    """

    task: Task
    query: Volume
    prompts: tuple[Prompt, ...]
    annotator: Annotator | None = None
    measurement: Measurement | None = None

    @property
    def modality(self) -> str | None:
        """The modality as `Predictor.prompt` takes it: "CT" for images in HU, None to guess it."""
        return "CT" if self.task.card.units == "HU" else None


@dataclass(frozen=True)
class Budget:
    """How long a method may train: minutes of wall time, or samples (query slices); one of them is 0.

    Methods with several phases split it themselves. Budgets are equal for all trained methods of a suite.
    """

    minutes: float = 0.0
    samples: int = 0

    def fraction(self, fraction: float) -> "Budget":
        """A fraction of this budget."""
        return Budget(self.minutes * fraction, round(self.samples * fraction))


def file_name(name: str) -> str:
    """A name without the characters that file names should not have."""
    return re.sub(r"[^\w.-]+", "_", name)


@dataclass(frozen=True)
class TrainingData:
    """What a method may learn from: the "train" side of prepared sets.

    tasks: all trained tasks of the suite (one task of one set for a specialist). folder: for the method's checkpoints;
    interrupted training continues, finished training is only loaded. It is OUTPUT/trained/METHOD/seedN for a
    generalist and OUTPUT/trained/METHOD/seedN/SET/TASK for a specialist. device: as torch names it. precision: of
    products and convolutions, as recipes name it; equal for all trained methods of a suite.
    """

    store: Store
    tasks: tuple[Task, ...]
    budget: Budget
    seed: int
    folder: Path
    device: str = "cpu"
    precision: Precision = "32-true"

    def autocast(self) -> torch.autocast:
        """The context in which a network of plain torch trains."""
        return torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.precision == "bf16-mixed")


@runtime_checkable
class Method(Protocol):
    """A method that is ready to predict.

    It may also have `estimate(request, prediction) -> float | None`, its own estimate of the quality of a prediction,
    in [0, 1], and `steps`, the number of its training steps.
    """

    def __call__(self, request: Request) -> Volume | LabelMap:
        """The prediction on the query's grid, with exactly its affine: label values of the card, or raw intensities."""
        ...


@runtime_checkable
class Rival(Protocol):
    """What a file in `rivals/` offers: SCOPE, USES_PROMPTS, Options, `serves` and `fit`; and `check` where needed.

    USES_PROMPTS: whether predictions depend on the prompts; without, a method predicts once for all numbers of prompts.
    Options: a frozen dataclass of what a suite may set; every option has a default, and unknown keys are errors. Extra
    libraries are imported inside of `fit`, which raises BenchmarkError with what to install where one is missing.
    `check(options)`, where a file has it, raises the same errors before anything is trained; `inputs(options)` is the
    number of images that the method takes, 1 without it. `CORRECTS`: True where the method serves requests with an
    annotator, whose slices it must ask for; such methods serve no others.
    """

    SCOPE: Scope
    USES_PROMPTS: bool
    Options: type[Any]

    def serves(self, task: Task) -> bool:
        """Whether the method can do this task; the number of its images is compared with `inputs` apart."""
        ...

    def fit(self, options: Any, data: TrainingData) -> Method:
        """Train for the budget (untrained methods only load); the same data and seed give the same method."""
        ...
