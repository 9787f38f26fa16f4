"""Tasks: what a data set can be used for, and the pair (images, target) that a slice gives for each task."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mvg._plugins import contributions, named
from mvg.data.case import Card, Case, DataSet
from mvg.data.store import SliceRow, StoredSlice
from mvg.imaging.volume import Volume
from mvg.imaging.window import CT_WINDOW, Window
from mvg.tasks import kinds
from mvg.tasks.case_pair import CaseFiles, CasePair

TargetType = Literal["labels", "image", "field"]
"""What a target is: a label map, a picture in [0, 1], or a displacement field."""

LABEL_REFINEMENTS = ("rejection", "propagation", "zoom", "registration")
"""The refinements of predicted labels in order."""


@dataclass(frozen=True)
class TaskSpec:
    """What every layer needs to know of a kind of task.

    kind: the file name in `tasks/kinds`. target_type: what a target is. inputs: how many images a pair shows.
    sampling: "whole" where the model sees whole slices, "tiles" where it sees parts of them at their own resolution.
    residual: the target is a picture on the query's own intensity scale, and prediction adds the predicted change to
    the raw query. postprocess: the refinements of a prediction in order (`prediction/refinement`). measurement: how the
    query was measured, the name of a file in `tasks/operators`; None for most. erases: the target is the query with
    some pixels black; prediction labels the pixels that are kept, see `predicted`.
    on_request: trained and evaluated only where a recipe or a suite names the kind; "all kinds" leaves it out.
    """

    kind: str
    target_type: TargetType = "image"
    inputs: int = 1
    sampling: Literal["whole", "tiles"] = "whole"
    residual: bool = False
    postprocess: tuple[str, ...] = ()
    measurement: str | None = None
    erases: bool = False
    on_request: bool = False

    @property
    def predicted(self) -> "TaskSpec":
        """How prediction goes about the task: one that erases is the segmentation of what is kept."""
        if not self.erases:
            return self
        return replace(self, target_type="labels", residual=False, postprocess=LABEL_REFINEMENTS)

    def is_wanted(self, named: tuple[str, ...]) -> bool:
        """Whether the kind is one of those that are named; without any, whether it belongs to all kinds."""
        return self.kind in named if named else not self.on_request


@dataclass(frozen=True)
class Task(ABC):
    """One task that one data set can serve.

    name: "KIND:DETAIL", unique among the tasks of a card; channel: the channel of the card that is the first image;
    min_foreground: share of a picture that shows something, slices with less are left out.
    """

    name: str
    card: Card
    channel: int = 0

    min_foreground: ClassVar[float] = 0.02

    @property
    @abstractmethod
    def spec(self) -> TaskSpec:
        """What the kind of task is; a class attribute, where it is one for all tasks of a class."""

    @property
    def kind(self) -> str:
        """The kind of the task: "segmentation", "synthesis", ..."""
        return self.spec.kind

    def accepts(self, row: SliceRow) -> bool:
        """Whether a slice can be a pair of this task; the row of the index decides, no picture is read."""
        return row.foreground_fraction >= self.min_foreground

    @abstractmethod
    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """The images (i, s, s), float32 in [0, 1], and the target (s, s): uint8 labels or a float32 picture in [0, 1].

        The target of a field is (2, s, s), float32: displacements along rows and columns in pixels, from the last image
        to the first one.

        stored: a whole slice or a crop; rng draws what is random about the task (voids, noise).
        """

    @property
    def target_channel(self) -> int | None:
        """The channel of the card that is the target, None where it is not one of them."""
        return None

    @property
    def named_window(self) -> Window | None:
        """The window that the task uses for images in HU, None for the usual window of predictions."""
        return None

    def serves(self, case: Case) -> bool:
        """Whether a case has what `case_pair` needs."""
        return case.labels is not None if self.spec.target_type == "labels" else True

    def case_pair(self, files: CaseFiles, rng: np.random.Generator) -> CasePair:
        """The image and the target of a whole case, on the grid of its files; rng as in `pair`.

        The default is made of the pairs of the slices, so pictures are in [0, 1]. In a slice that the task does not
        accept the target is the image, or background.
        """
        images, targets = [], []
        for stored in files.slices():
            image, target = self._pair_or_blank(stored, rng)
            images.append(image[stored.row.box.index])
            targets.append(target[stored.row.box.index])
        first = files.image(0)
        plane = first.plane
        inputs = [first.from_pictures(np.stack(pictures), plane).voxels for pictures in zip(*images, strict=True)]
        voxels = inputs[0] if len(inputs) == 1 else np.stack(inputs, axis=-1)
        return CasePair(Volume(voxels, first.affine, first.header), first.from_pictures(np.stack(targets), plane))

    def _pair_or_blank(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        if self.accepts(stored.row):
            return self.pair(stored, rng)
        picture = windowed(stored, self.channel)
        target = np.zeros(picture.shape, np.uint8) if self.spec.target_type == "labels" else picture
        return np.repeat(picture[None], self.spec.inputs, axis=0), target


def tasks_for(card: Card) -> list[Task]:
    """Every task that a card offers, of all kinds."""
    return [task for kind in contributions(kinds).values() for task in kind.offered_by(card)]


def evaluated_tasks(data: DataSet, named: tuple[str, ...] = ()) -> list[Task]:
    """The tasks of a set that a benchmark evaluates, those with label maps first.

    They are all that the card offers, unless a kind's file chooses among them: `evaluated(tasks, data) -> list[Task]`.
    named: the kinds that are wanted, empty for all but those on request.
    """
    chosen: list[Task] = []
    for kind in (kind for kind in contributions(kinds).values() if kind.SPEC.is_wanted(named)):
        offered = kind.offered_by(data.card)
        chosen += kind.evaluated(offered, data) if hasattr(kind, "evaluated") else offered
    return sorted(chosen, key=lambda task: task.spec.target_type != "labels")


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
    return (window or CT_WINDOW).apply(stored.raw(channel))


def windowed_target(stored: StoredSlice, window: Window | None = None) -> NDArray[np.float32]:
    """The image target (s, s) in [0, 1]: HU through `window` (soft tissue by default), others in the image's window.

    A restoration shares the window of its image, so that its prediction is on the scale of the query.
    """
    if stored.card.units != "HU":
        return stored.row.windows[0].apply(stored.raw_target())
    return (window or CT_WINDOW).apply(stored.raw_target())
