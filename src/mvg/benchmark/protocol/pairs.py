"""The pair (image, target) that a case gives for a task, read from its files, on the case's own grid."""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import Card, Case, LabelFiles
from mvg.data.slicing import labels_in
from mvg.data.store import SliceRow, StoredSlice
from mvg.imaging.files import read_gray
from mvg.imaging.frame import Box
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.imaging.window import Window
from mvg.tasks import Task
from mvg.tasks.kinds.denoising import Denoising
from mvg.tasks.kinds.inpainting import Inpainting
from mvg.tasks.kinds.synthesis import Synthesis
from mvg.tasks.projection import low_dose_noise

_SLICES = 3  # of a volume whose low dose is simulated: seconds each at 512 x 512
_AIR = -1000
_Kind = TypeVar("_Kind", bound=Volume | LabelMap)
_AXES: dict[Plane, int] = {"axial": 2, "coronal": 1, "sagittal": 0}  # of a canonical array


@dataclass(frozen=True, eq=False)
class Made:
    """An image and what it should become, on one grid.

    void: where the image was emptied (X, Y, Z), else None; labels: of a synthesis, the case's label map where given.
    """

    image: Volume
    target: Volume | LabelMap
    void: NDArray[np.bool_] | None = None
    labels: LabelMap | None = None

    def thinned(self, count: int) -> "Made":
        """At most `count` slices of it, evenly spaced along the image's plane."""
        plane = self.image.plane
        target = _every(self.target, plane, count)
        void = None if self.void is None else LabelMap(self.void, self.image.affine)
        return Made(
            _every(self.image, plane, count),
            target,
            None if void is None else _every(void, plane, count).voxels > 0,
            None if self.labels is None else _every(self.labels, plane, count),
        )


def draw(seed: int, *words: str) -> np.random.Generator:
    """A random generator that depends on seed and words alone."""
    return np.random.default_rng(int(hashlib.md5("/".join((str(seed), *words)).encode()).hexdigest(), 16))


@lru_cache(maxsize=24)
def make(task: Task, case: Case, seed: int) -> Made:
    """The pair of a case for a task: always the same for one seed, whatever it serves as."""
    rng = draw(seed, task.card.name, task.name, case.name)
    if isinstance(task, Synthesis):
        goal = case.target if task.goal is None else case.images[task.goal]
        assert goal is not None
        labels = None if case.labels is None else _read_labels(case.labels, task.card)
        return Made(_read(case.images[task.source]), _read(goal), labels=labels)
    if isinstance(task, Denoising):
        image = _read(case.images[task.channel])
        if task.dose is None:
            assert case.target is not None
            return Made(image, _read(case.target))
        full = _every(image, image.plane, _SLICES)
        return Made(_low_dose(full, task.dose, rng), full)
    if isinstance(task, Inpainting):
        return _voided(task, case, rng)
    assert task.kind == "segmentation", task.name
    assert case.labels is not None
    channel = task.card.channels.index(task.name.split(":", 1)[1])
    return Made(_read(case.images[channel]), _read_labels(case.labels, task.card))


def _every(volume: _Kind, plane: Plane, count: int) -> _Kind:
    """At most `count` slices of a volume along a plane, evenly spaced, as a volume with thicker steps."""
    length = len(volume.pictures(plane))
    if length <= count:
        return volume
    straight, axis = volume.canonical(), _AXES[plane]
    step = -(-length // count)  # as far apart as it takes to span the whole
    count = 1 + (length - 1) // step
    first = (length - 1 - step * (count - 1)) // 2
    affine = straight.affine.copy()
    affine[:3, 3] += affine[:3, axis] * first
    affine[:3, axis] *= step
    voxels = straight.voxels.take(range(first, first + step * count, step), axis)
    return type(volume)(voxels, affine)


def _low_dose(full: Volume, dose: float, rng: np.random.Generator) -> Volume:
    pictures = full.pictures(full.plane)
    rows, cols = pictures.shape[1:]
    side = max(rows, cols)
    pixel = float(np.mean(full.pixel_spacing(full.plane)))
    noisy = np.array(pictures)
    for picture in noisy:
        square = np.full((side, side), _AIR, np.float32)
        square[:rows, :cols] = picture
        picture += low_dose_noise(square, pixel, (0, 0, side), dose, rng)[:rows, :cols]
    image = full.from_pictures(noisy, full.plane)
    assert isinstance(image, Volume)
    return image


def _voided(task: Inpainting, case: Case, rng: np.random.Generator) -> Made:
    whole = _read(case.images[task.channel])
    if task.masks == "target":
        assert case.target is not None
        target = _read(case.target)
        return Made(whole, target, whole.voxels != target.voxels)
    plane = whole.plane
    pictures = whole.pictures(plane)
    first = _read(case.images[0])
    scaled = np.rint(Window.fit(first.voxels, "other").apply(first.pictures(plane)) * 65535).astype(np.uint16)
    labels = None if case.labels is None else _read_labels(case.labels, task.card).pictures(plane).astype(np.uint8)
    voids = np.zeros(pictures.shape, np.bool_)
    for at in range(len(pictures)):
        own = None if labels is None else labels[at]
        row = _row(case, at, len(pictures), plane, float((scaled[at] > 65535 // 8).mean()), own)
        if task.accepts(row):
            voids[at] = task.void(StoredSlice(task.card, row, scaled[at][None], own, None), rng)
    void = whole.from_pictures(voids.astype(np.uint8), plane).voxels.astype(np.bool_)
    image = Volume(np.where(void, whole.voxels.min(), whole.voxels), whole.affine, whole.header)
    return Made(image, whole, void)


def _row(case: Case, index: int, count: int, plane: Plane, filled: float, labels: NDArray[np.uint8] | None) -> SliceRow:
    present = () if labels is None else tuple(int(value) for value in np.unique(labels) if value)
    return SliceRow(
        index, case.name, case.patient, index, count, plane, (), None, (1.0, 1.0), Box(0, 0, 1, 1),
        labels is not None, present, filled, case.split,
    )  # fmt: skip


@lru_cache(maxsize=48)
def _read(path: Path) -> Volume:
    return read_gray(path)


@lru_cache(maxsize=48)
def _read_labels(files: LabelFiles, card: Card) -> LabelMap:
    labels = labels_in(files)
    return replace(labels, voxels=card.with_ignored_as_background(labels.voxels))
