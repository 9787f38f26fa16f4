"""Segmentation: slice -> label map (Table 1). One task for each channel of a set with labels."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import Card
from mvg.data.store import SliceRow, StoredSlice
from mvg.tasks.task import Task, TaskSpec, windowed

SPEC = TaskSpec("segmentation", target_type="labels", postprocess=("rejection", "propagation", "zoom"))


class Segmentation(Task):
    """The labels of the card from one channel; targets are uint8 label values, nnU-Net's "ignore" is background."""

    spec: ClassVar[TaskSpec] = SPEC

    def accepts(self, row: SliceRow) -> bool:
        return row.labelled

    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        assert stored.labels is not None, "only slices that the task accepts"
        channel = self.card.channels.index(self.name.removeprefix("segmentation:"))
        return windowed(stored, channel)[None], np.array(self.card.with_ignored_as_background(stored.labels), np.uint8)


def offered_by(card: Card) -> list[Task]:
    """Every task of this kind that a data set with this card can serve."""
    return [Segmentation(f"segmentation:{channel}", card) for channel in card.channels] if card.labels else []
