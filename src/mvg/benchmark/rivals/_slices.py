"""Batches of training slices for specialists: framed, and changed at random."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from mvg.benchmark.protocol.method import TrainingData
from mvg.benchmark.rivals._options import TrainingOptions
from mvg.data.store import SliceRow, StoredSet
from mvg.errors import BenchmarkError
from mvg.imaging.frame import Frame
from mvg.training.loading import loader

SliceBatch = tuple[Float[Tensor, "b 1 s s"], Float[Tensor, "b 1 s s"]]
"""Images in [0, 1], and targets in [0, 1] or label values as floats."""


def training_slices(data: TrainingData) -> tuple[StoredSet, list[SliceRow]]:
    """The set of the one trained task, and its "train" slices that the task accepts; BenchmarkError without any."""
    (task,) = data.tasks
    stored = next((known for known in data.store.sets.values() if known.card.name == task.card.name), None)
    rows = [] if stored is None else [row for row in stored.rows if row.split == "train" and task.accepts(row)]
    if stored is None or not rows:
        raise BenchmarkError(
            f"no slices to learn {task.name} of {task.card.name} from in {data.store.folder}",
            "prepared slices of train patients",
            "prepare the set, or leave it out",
        )
    return stored, rows


def slice_batches(options: TrainingOptions, data: TrainingData, start: int) -> Iterator[SliceBatch]:
    """The batches of step `start` and after; each depends on (seed, step) alone."""
    batches = loader(_SliceBatches(options, data), start, options.workers)
    return ((images, targets) for images, targets in batches)  # the loader makes lists


class _SliceBatches(Dataset[SliceBatch]):
    """Step -> its batch."""

    def __init__(self, options: TrainingOptions, data: TrainingData) -> None:
        (self.task,) = data.tasks
        self.options, self.seed, self.samples = options, data.seed, data.budget.samples
        self.stored, rows = training_slices(data)
        self.numbers = np.array([row.number for row in rows])

    def __getitem__(self, step: int) -> SliceBatch:
        rng = np.random.default_rng([self.seed, step])
        count = self.options.batch
        if self.samples:
            count = max(1, min(count, self.samples - step * count))
        pairs = [self._pair(int(number), rng) for number in rng.choice(self.numbers, count)]
        images, targets = (torch.from_numpy(np.stack(part))[:, None] for part in zip(*pairs, strict=True))
        # Tiles keep their own resolution: resampling would smooth their noise.
        if self.task.spec.sampling == "tiles":
            return images, targets
        mode = "nearest" if self.task.spec.target_type == "labels" else "bilinear"
        return augmented(images, targets, self.options, rng, mode)

    def _pair(self, number: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The image (s, s) and the target of a slice: as large as fits, or a tile at its own resolution."""
        stored, size = self.stored[number], self.options.size
        if self.task.spec.sampling == "tiles":
            (image,), target = self.task.pair(stored.random_crop(size, rng), rng)
            frame = Frame.tiles(image.shape, size, 0)[0]
        else:
            (padded,), padded_target = self.task.pair(stored, rng)
            image, target = padded[stored.row.box.index], padded_target[stored.row.box.index]
            frame = Frame.letterbox(image.shape, stored.row.spacing, size)
        framed = frame.apply_labels(target) if self.task.spec.target_type == "labels" else frame.apply(target)
        return frame.apply(image), np.asarray(framed, np.float32)


def augmented(
    images: Tensor, targets: Tensor, options: TrainingOptions, rng: np.random.Generator, mode: str
) -> SliceBatch:
    """Zoomed, rotated and shifted at random; mode: of the resampling of targets, as torch names it."""
    count = len(images)
    rotation, zoom = rng.normal(0, options.rotation, count), np.exp(rng.normal(0, options.zoom, count))
    shift_x, shift_y = rng.normal(0, options.shift, (2, count))
    cos, sin = np.cos(rotation) * zoom, np.sin(rotation) * zoom
    matrix = torch.from_numpy(np.array([[cos, -sin, shift_x], [sin, cos, shift_y]], np.float32)).permute(2, 0, 1)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False), F.grid_sample(targets, grid, mode, align_corners=False)
