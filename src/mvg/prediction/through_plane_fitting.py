"""Fits the network that looks along a volume to volumes that were answered from others.

Answers for slices do not depend on one another, so every second or third slice of a volume is a sample as well: the
network learns how far it may trust neighbors that are far away.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mvg.model.through_plane import Answered, ThroughPlane
from mvg.prediction.fitting import FittingTime, fit, structure_loss
from mvg.prediction.inference.prompt_cache import PromptCache
from mvg.prediction.inference.through_plane import LEAST, AnsweredSlices
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.stacked import predict_from_others

FEWEST_SLICES = 4
"""Of a volume that serves."""
_BATCH = 4
_WINDOW = 14  # slices of a training example, at most
_STRIDES = (1, 1, 2, 3, 4)  # every so many slices, drawn from these
_LEAST_SLICES = 3  # that a stride leaves
_LEARNED = 0.1  # probability that a class must reach somewhere to be learned from


@dataclass(frozen=True, eq=False)
class AnsweredVolume:
    """Slices of a volume in order, as squares: images (n, s, s), logarithms of probabilities (n, K + 1, s, s) in 16
    bits, and the true class numbers (n, s, s). magnified: see `AnsweredSlices`.
    """

    images: NDArray[np.float16]
    scores: NDArray[np.float16]
    truth: NDArray[np.uint8]
    magnified: bool

    @property
    def classes(self) -> list[int]:
        """The classes that are likely somewhere, from 1 on."""
        highest = self.scores.max(axis=(0, 2, 3))
        return [number for number in range(1, len(highest)) if highest[number] > np.log(_LEARNED)]

    def part(self, which: slice) -> AnsweredSlices:
        """Some of the slices."""
        scores = torch.from_numpy(self.scores[which].astype(np.float32))
        probabilities = torch.where(scores <= np.log(LEAST) + 0.01, 0, scores.exp())
        return AnsweredSlices(torch.from_numpy(self.images[which].astype(np.float32)), probabilities, self.magnified)


def answered_volumes(task: PromptedTask) -> Iterator[AnsweredVolume]:
    """Each prompt volume of a segmentation as the other volumes predict it: whole slices, and magnified ones."""
    for cache in task.caches:
        for volume in np.unique(cache.prompts.volume):
            rows = np.flatnonzero(cache.prompts.volume == volume)
            if len(rows) >= FEWEST_SLICES:
                yield _answered(task, cache, rows[np.argsort(cache.prompts.index[rows])], cache is not task.cache)


def _answered(task: PromptedTask, cache: PromptCache, rows: NDArray[np.int64], magnified: bool) -> AnsweredVolume:
    means = [predict_from_others(cache, task.options, number)[1] for number in rows.tolist()]
    scores = torch.cat(means).cpu().clamp(min=LEAST).log().half().numpy()
    images = cache.prompts.image_batch(rows.tolist())[:, 0].astype(np.float16)
    return AnsweredVolume(images, scores, cache.prompts.targets[rows].astype(np.uint8), magnified)


def fit_through_plane(
    volumes: Mapping[str, Sequence[AnsweredVolume]],
    seconds: float,
    seed: int,
    on_step: Callable[[float, float], None],
    clock: Callable[[], float] = time.process_time,
) -> ThroughPlane:
    """The network that turns answers for slices into truth, on volumes by data set; sets count by the root of theirs.

    seconds: of processor time, as `clock` counts; `on_step(seconds so far, loss)` is called after every step.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    learned = {name: [one for one in of_set if one.classes] for name, of_set in volumes.items()}

    def loss(network: ThroughPlane) -> Float[Tensor, ""]:
        maps, truth = _example(learned, rng)
        return structure_loss(network(maps[None])[0], truth, torch.ones(len(truth)))

    return fit(ThroughPlane(), loss, FittingTime(seconds, _BATCH, clock), on_step)


def _example(
    volumes: Mapping[str, Sequence[AnsweredVolume]], rng: np.random.Generator
) -> tuple[Float[Tensor, "f n h w"], Float[Tensor, "n h w"]]:
    """What the network is shown of some slices for one class, and the truth; changed at random."""
    names = sorted(name for name, of_set in volumes.items() if of_set)
    weights = np.array([len(volumes[name]) ** 0.5 for name in names])
    while True:
        of_set = volumes[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
        volume = of_set[int(rng.integers(len(of_set)))]
        number, which = int(rng.choice(volume.classes)), _drawn_slices(len(volume.truth), rng)
        slices, truth = volume.part(which), volume.truth[which] == number
        box = slices.boxes().get(number)
        if box is not None and len(truth) >= _LEAST_SLICES:
            return _changed(slices.maps(number, box).numpy(), truth[:, box[0], box[1]], rng)


def _drawn_slices(count: int, rng: np.random.Generator) -> slice:
    stride = int(rng.choice(_STRIDES))
    stride = stride if count // stride >= FEWEST_SLICES else 1
    room = max(stride, count - _WINDOW * stride + 1)
    first = int(rng.integers(room))
    return slice(first, first + _WINDOW * stride, stride)


def _changed(
    maps: NDArray[np.float32], truth: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[Float[Tensor, "f n h w"], Float[Tensor, "n h w"]]:
    """Mirrored along each axis, turned, and brighter, darker or inverted."""
    for axis in (1, 2, 3):
        if rng.random() < 0.5:
            maps, truth = np.flip(maps, axis), np.flip(truth, axis - 1)
    if rng.random() < 0.5:
        maps, truth = maps.swapaxes(2, 3), truth.swapaxes(1, 2)
    maps = maps.copy()
    maps[Answered.image] = maps[Answered.image] * rng.uniform(0.8, 1.2) + rng.uniform(-0.1, 0.1)
    if rng.random() < 0.3:
        maps[Answered.image] = 1 - maps[Answered.image]
    return torch.from_numpy(maps), torch.from_numpy(np.ascontiguousarray(truth, np.float32))
