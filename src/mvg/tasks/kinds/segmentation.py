"""Segmentation: slice -> label map (Table 1). One task for each channel of a set with labels."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import Card, DataSet
from mvg.data.store import SliceRow, StoredSlice
from mvg.tasks.case_pair import CaseFiles, CasePair
from mvg.tasks.task import LABEL_REFINEMENTS, Task, TaskSpec, windowed

SPEC = TaskSpec("segmentation", target_type="labels", postprocess=LABEL_REFINEMENTS)


@dataclass(frozen=True)
class Segmentation(Task):
    """The labels of the card from one channel; targets are uint8 label values.

    Slices of which a part was not annotated (nnU-Net's "ignore") are no pairs: they would teach background there.
    """

    spec: ClassVar[TaskSpec] = SPEC

    def accepts(self, row: SliceRow) -> bool:
        return row.has_labels

    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        assert stored.labels is not None, "only slices that the task accepts"
        return windowed(stored, self.channel)[None], np.array(stored.labels, np.uint8)

    def case_pair(self, files: CaseFiles, rng: np.random.Generator) -> CasePair:
        labels = files.labels()
        assert labels is not None, "only cases that the task serves"
        return CasePair(files.image(self.channel), labels)


def offered_by(card: Card) -> list[Task]:
    """Every task of this kind that a data set with this card can serve."""
    if not card.labels:
        return []
    return [Segmentation(f"segmentation:{name}", card, channel) for channel, name in enumerate(card.channels)]


def evaluated(tasks: list[Task], data: DataSet) -> list[Task]:
    """One task: of the channel that a label is named after, else of the first one."""
    named = [task for task in tasks if any(task.name.split(":")[1] in name for name in data.card.labels.values())]
    return (named or tasks)[:1]
