"""Tasks: what a data set can be used for, and the pair (images, target) that a slice gives for each task."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mvg._plugins import contributions, named
from mvg.data.case import Card
from mvg.data.store import SliceRow, StoredSlice
from mvg.imaging.window import Window
from mvg.tasks import kinds

TargetType = Literal["labels", "image", "field"]
"""What a target is: a label map, a picture in [0, 1], or a displacement field."""


@dataclass(frozen=True)
class TaskSpec:
    """What every layer needs to know of a kind of task.

    kind: the file name in `tasks/kinds`. target_type: what the answer is. inputs: how many images a pair shows.
    sampling: "whole" where the model sees whole slices, "tiles" where it sees parts of them at their own resolution.
    residual: the answer is a change of the query, on the query's own intensity scale. postprocess: names of the
    refinements of a prediction (`prediction/refinement`). measurement: how the query was measured, None for most.
    """

    kind: str
    target_type: TargetType = "image"
    inputs: int = 1
    sampling: Literal["whole", "tiles"] = "whole"
    residual: bool = False
    postprocess: tuple[str, ...] = ()
    measurement: str | None = None


@dataclass(frozen=True)
class Task(ABC):
    """One task that one data set can serve.

    name: "KIND:DETAIL", unique among the tasks of a card; spec: what its kind of task is.
    """

    name: str
    card: Card

    spec: ClassVar[TaskSpec]

    @property
    def kind(self) -> str:
        """The kind of the task: "segmentation", "synthesis", ..."""
        return self.spec.kind

    @abstractmethod
    def accepts(self, row: SliceRow) -> bool:
        """Whether a slice can be a pair of this task; the row of the index decides, no picture is read."""

    @abstractmethod
    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """The images (i, s, s), float32 in [0, 1], and the target (s, s): uint8 labels or a float32 picture in [0, 1].

        stored: a whole slice or a crop; rng draws what is random about the task (voids, noise).
        """


def tasks_for(card: Card) -> list[Task]:
    """Every task that a card offers, of all kinds."""
    return [task for kind in contributions(kinds).values() for task in kind.offered_by(card)]


def spec_of(kind: str) -> TaskSpec:
    """The description of a kind of task; UnknownNameError lists the known kinds."""
    spec: TaskSpec = named(kinds, kind).SPEC
    return spec


def kind_names() -> tuple[str, ...]:
    """The kinds of tasks that there are."""
    return tuple(contributions(kinds))


def windowed(stored: StoredSlice, channel: int, window: Window | None = None) -> NDArray[np.float32]:
    """A channel (s, s) in [0, 1] for the model: HU through `window` (soft tissue by default), others as stored."""
    if stored.card.units != "HU":
        return stored.picture(channel)
    return (window or Window.named("soft tissue")).apply(stored.raw(channel))


def windowed_target(stored: StoredSlice, window: Window | None = None) -> NDArray[np.float32]:
    """The image target (s, s) in [0, 1]: HU through `window` (soft tissue by default), others in the image's window.

    A restoration shares the window of its image, so that its answer is on the scale of the query.
    """
    if stored.card.units != "HU":
        return stored.row.windows[0].apply(stored.raw_target())
    return (window or Window.named("soft tissue")).apply(stored.raw_target())
