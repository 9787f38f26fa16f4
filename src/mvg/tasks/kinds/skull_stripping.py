"""Skull stripping: a picture of a head -> the same picture with the brain alone, black elsewhere.

Prediction labels the pixels that are kept, as a segmentation does, and erases the others.
"""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.data.case import Card, Case
from mvg.data.store import SliceRow, StoredSlice
from mvg.imaging.volume import Volume
from mvg.tasks.case_pair import CaseFiles, CasePair
from mvg.tasks.task import Task, TaskSpec, windowed

_BRAIN = re.compile(r"brain|matter|cerebr|cerebell|csf|ventricle|cortex")
_HEAD = re.compile(r"skull|bone|scalp|soft tissue|skin")

SPEC = TaskSpec("skull_stripping", residual=True, erases=True, on_request=True)


@dataclass(frozen=True)
class SkullStripping(Task):
    """One channel -> the channel within the labels of the brain, whose holes are filled."""

    spec: ClassVar[TaskSpec] = SPEC

    def accepts(self, row: SliceRow) -> bool:
        return row.has_labels and any(value in _values(self.card, _BRAIN) for value in row.label_values)

    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        assert stored.labels is not None, "only slices that the task accepts"
        picture = windowed(stored, self.channel)
        return picture[None], np.where(self._brain(stored.labels), picture, np.float32(0))

    def serves(self, case: Case) -> bool:
        return case.labels is not None

    def case_pair(self, files: CaseFiles, rng: np.random.Generator) -> CasePair:
        image, labels = files.image(self.channel), files.labels()
        assert labels is not None, "only cases that the task serves"
        pictures = np.stack([self._brain(picture) for picture in labels.pictures(image.plane)]).astype(np.uint8)
        brain = labels.from_pictures(pictures, image.plane).voxels > 0
        return CasePair(image, Volume(np.where(brain, image.voxels, image.voxels.min()), image.affine, image.header))

    def _brain(self, labels: NDArray[Any]) -> NDArray[np.bool_]:
        inside = np.isin(labels, _values(self.card, _BRAIN))
        return np.asarray(ndimage.binary_fill_holes(inside), np.bool_)


def offered_by(card: Card) -> list[Task]:
    """One task for each channel, where labels name the brain and something around it."""
    if not (_values(card, _BRAIN) and _values(card, _HEAD)):
        return []
    return [SkullStripping(f"skull_stripping:{name}", card, channel) for channel, name in enumerate(card.channels)]


def _values(card: Card, pattern: re.Pattern[str]) -> list[int]:
    return [value for value, name in card.labels.items() if pattern.search(name.lower())]
