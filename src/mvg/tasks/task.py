"""Tasks: what may be asked of the slices of a data set, and the pair (image, target) that a slice gives for it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mvg._plugins import contributions
from mvg.data.case import Card
from mvg.data.store import SliceRow, StoredSlice
from mvg.imaging.window import Window
from mvg.tasks import kinds


@dataclass(frozen=True)
class Task(ABC):
    """One thing that can be asked of one data set.

    name: "KIND:WHAT", unique among the tasks of a card; kind: the file name in `tasks/kinds`.
    answers: "labels" (segmentation) or "image". framing: "letterbox" when the whole slice is shown, "native" when the
    model works on crops of the stored slice at its own resolution (see StoredSlice.random_crop).
    """

    name: str
    card: Card

    answers: ClassVar[Literal["labels", "image"]] = "image"
    framing: ClassVar[Literal["letterbox", "native"]] = "letterbox"

    @property
    def kind(self) -> str:
        """The kind of the task: "segmentation", "synthesis", ..."""
        return self.name.split(":", 1)[0]

    @classmethod
    @abstractmethod
    def offered_by(cls, card: Card) -> "list[Task]":
        """Every task of this kind that a data set with this card can serve; empty when none."""

    @abstractmethod
    def accepts(self, row: SliceRow) -> bool:
        """Whether that slice can be a pair of this task, told from the index alone."""

    @abstractmethod
    def pair(self, piece: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """The image (s, s), float32 in [0, 1], and its target (s, s): uint8 labels or a float32 picture in [0, 1].

        Takes whole slices and crops; `rng` draws what is random about the task (voids, noise).
        """


def tasks_for(card: Card) -> list[Task]:
    """Every task that a card offers, of all kinds."""
    found: list[Task] = []
    for name, module in contributions(kinds).items():
        kind: type[Task] = getattr(module, name.capitalize())
        found.extend(kind.offered_by(card))
    return found


def shown(piece: StoredSlice, channel: int, window: Window | None = None) -> NDArray[np.float32]:
    """A channel (s, s) in [0, 1] as a model sees it: HU through `window` (soft tissue by default), others as stored."""
    if piece.card.units != "HU":
        return piece.picture(channel)
    return (window or Window.named("soft tissue")).apply(piece.raw(channel))


def shown_target(piece: StoredSlice, window: Window | None = None) -> NDArray[np.float32]:
    """The image target (s, s) in [0, 1]: HU through `window` (soft tissue by default), others in the image's window.

    Sharing the image's window keeps the answer to a restoration on the scale of the query.
    """
    if piece.card.units != "HU":
        return piece.row.windows[0].apply(piece.raw_target())
    return (window or Window.named("soft tissue")).apply(piece.raw_target())
