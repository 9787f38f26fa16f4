"""Inpainting: a picture with a voided region -> the healthy picture (Sec. 3.1; BraTS-Local).

Voids are smooth blobs inside the body, away from lesions, so that the target is healthy tissue. Data sets with voided
images, or with a label that names the void, provide the voids themselves.
"""

import re
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.data.case import Card, Case, DataSet
from mvg.data.store import STORED_BACKGROUND, SliceRow, StoredSlice
from mvg.imaging.files import read_gray
from mvg.imaging.volume import Plane, Volume
from mvg.imaging.window import Window, as_stored
from mvg.tasks.case_pair import CaseFiles, CasePair
from mvg.tasks.task import Task, TaskSpec, windowed, windowed_target

_LESION = re.compile(r"lesion|tumou?r|abnormal|edema|oedema|enhancing|necro|metasta|stroke|infarct|cancer|hematoma")
_VOID = re.compile(r"void|inpaint")
_MODALITIES = ("MRI", "CT")  # in a projection or an echo a void hides no tissue of its own
_MIN_EVALUATED_SIDE = 96  # pixels; voids in smaller pictures are a few pixels
_MARGIN = 3  # pixels between a void and a lesion


SPEC = TaskSpec("inpainting", residual=True, postprocess=("inpainting",))


@dataclass(frozen=True)
class Inpainting(Task):
    """Fills the voids of one channel; voided pixels are 0 in the image, the target is the whole picture.

    masks: the source of voids, "drawn" (random), "labels" (a label that names the void) or "target" (real pairs).
    """

    masks: str = "drawn"

    spec: ClassVar[TaskSpec] = SPEC
    min_foreground: ClassVar[float] = 0.08  # with less no void fits

    def accepts(self, row: SliceRow) -> bool:
        if self.masks == "target":
            return row.target_window is not None
        if self.masks == "labels":
            return any(_VOID.search(self.card.labels.get(value, "").lower()) for value in row.label_values)
        return super().accepts(row)

    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        picture = windowed(stored, self.channel)
        if self.masks == "target":
            return picture[None], windowed_target(stored)
        return np.where(self.void(stored, rng), np.float32(0), picture)[None], picture

    def void(self, stored: StoredSlice, rng: np.random.Generator) -> NDArray[np.bool_]:
        """The pixels (s, s) that are voided."""
        if self.masks == "labels":
            return _labeled(stored, _VOID)
        healthy = body(stored)
        lesion = _labeled(stored, _LESION)
        if lesion.any():
            healthy &= ~ndimage.binary_dilation(lesion, iterations=_MARGIN)
        return draw_voids(healthy, rng)

    def serves(self, case: Case) -> bool:
        return case.target is not None or self.masks != "target"

    def case_pair(self, files: CaseFiles, rng: np.random.Generator) -> CasePair:
        whole = files.image(self.channel)
        if self.masks == "target":
            target = files.target()
            return CasePair(whole, target, {"void": whole.voxels != target.voxels})
        voids = self._voids(files, whole.plane, rng).astype(np.uint8)
        void = whole.from_pictures(voids, whole.plane).voxels.astype(np.bool_)
        image = Volume(np.where(void, whole.voxels.min(), whole.voxels), whole.affine, whole.header)
        return CasePair(image, whole, {"void": void})

    def _voids(self, files: CaseFiles, plane: Plane, rng: np.random.Generator) -> NDArray[np.bool_]:
        """The voids (n, rows, columns) of all slices, none in those that the task does not accept."""
        first = files.image(0)
        window = Window.fit(first.voxels, "other")
        stored = as_stored(window.apply(first.pictures(plane)))
        label_map = files.labels()
        labels = None if label_map is None else label_map.pictures(plane).astype(np.uint8)
        voids = np.zeros(stored.shape, np.bool_)
        for at, picture in enumerate(stored):
            present = None if labels is None else labels[at]
            row = files.row(at, len(stored), plane, picture, present)
            if self.accepts(row):
                voids[at] = self.void(StoredSlice(self.card, row, picture[None], present, None), rng)
        return voids


def offered_by(card: Card) -> list[Task]:
    """Every task of this kind that a data set with this card can serve."""
    named = list(enumerate(card.channels))
    if card.image_task == "inpainting":
        return [Inpainting(f"inpainting:{card.channels[0]}", card, 0, "target")]
    if any(_VOID.search(name.lower()) for name in card.labels.values()):
        return [Inpainting(f"inpainting:{name}", card, channel, "labels") for channel, name in named]
    if card.modality not in _MODALITIES or card.image_target is not None:
        return []
    return [Inpainting(f"inpainting:{name}", card, channel, "drawn") for channel, name in named]


def evaluated(tasks: list[Task], data: DataSet) -> list[Task]:
    """One task: real voids, else voids that are drawn into brain images of some size."""
    informative = (task for task in tasks if isinstance(task, Inpainting) and _is_informative(task, data))
    return list(islice(informative, 1))


def _is_informative(task: Inpainting, data: DataSet) -> bool:
    if task.masks != "drawn":
        return True
    image = read_gray(data.cases[0].images[0])
    return data.card.region == "brain" and min(image.pictures(image.plane).shape[1:]) >= _MIN_EVALUATED_SIDE


def _labeled(stored: StoredSlice, pattern: re.Pattern[str]) -> NDArray[np.bool_]:
    values = [value for value, name in stored.card.labels.items() if pattern.search(name.lower())]
    if stored.labels is None or not values:
        return np.zeros(stored.images.shape[-2:], np.bool_)
    return np.asarray(np.isin(stored.labels, values), np.bool_)


def body(stored: StoredSlice) -> NDArray[np.bool_]:
    """The pixels (s, s) of the largest bright component of a slice, with its holes filled."""
    bright = np.asarray(stored.images[0] > STORED_BACKGROUND, np.bool_)
    parts, count = ndimage.label(bright)
    if count == 0:
        return bright
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(parts == sizes.argmax()), np.bool_)


def draw_voids(healthy: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """One to three smooth blobs (s, s) inside `healthy`, each with a radius of 5 to 18 % of the body's size.

    A blob is an ellipse of random axes whose radius is modulated by a few low harmonics. Empty when `healthy` is.
    """
    void = np.zeros_like(healthy)
    if not healthy.any():
        return void
    depth = ndimage.distance_transform_edt(healthy)
    size = float(np.sqrt(healthy.sum()))
    for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))):
        radius = rng.uniform(0.05, 0.18) * size
        # Half of a blob may leave the healthy region and is cut off there, so that cortex is voided as often.
        fitting = np.argwhere(depth >= min(0.5 * radius, 0.9 * depth.max()))
        void |= blob(healthy.shape, rng.choice(fitting), radius, rng)
    return void & healthy


def blob(
    shape: tuple[int, ...], center: NDArray[np.int64], radius: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A smooth random region (rows, columns) around `center` with a radius of about `radius` pixels."""
    stretch, turn = rng.uniform(0.65, 1.0), rng.uniform(0, np.pi)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    y, x = rows - center[0], cols - center[1]
    along, across = x * np.cos(turn) + y * np.sin(turn), (y * np.cos(turn) - x * np.sin(turn)) / stretch
    angle, edge = np.arctan2(across, along), np.ones(shape)
    for harmonic in (2, 3, 4, 5):
        edge += rng.normal(0, 0.16 / harmonic) * np.cos(harmonic * angle + rng.uniform(0, 2 * np.pi))
    return np.asarray(np.hypot(along, across) <= radius * edge, np.bool_)
