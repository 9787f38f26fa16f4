"""Fits learnt fusion to samples of volumes with annotated slices; the model that answers stays as it is."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mvg.model.fusion import Evidence, Fusion
from mvg.prediction.fitting import FittingTime, fit, structure_loss
from mvg.prediction.fusion_samples import FusionSample
from mvg.prediction.inference.evidence import evidence_maps

_WINDOW = 10  # slices of a training example
_IMAGES = (Evidence.image, Evidence.image_below, Evidence.image_above)
_SIDES = ((Evidence.below, Evidence.above), (Evidence.image_below, Evidence.image_above))


def fit_fusion(
    samples: Mapping[str, Sequence[FusionSample]],
    seconds: float,
    seed: int,
    on_step: Callable[[float, float], None],
    clock: Callable[[], float] = time.process_time,
) -> Fusion:
    """Fusion that turns evidence into truth, on samples by data set; sets count by the root of their samples.

    seconds: of processor time, as `clock` counts; `on_step(seconds so far, loss)` is called after every step.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)

    def loss(network: Fusion) -> Float[Tensor, ""]:
        maps, truth, is_open = _example(samples, rng)
        return structure_loss(network(maps[None])[0], truth, is_open)

    return fit(Fusion(), loss, FittingTime(seconds, clock=clock), on_step)


def _example(
    samples: Mapping[str, Sequence[FusionSample]], rng: np.random.Generator
) -> tuple[Float[Tensor, "f n s s"], Float[Tensor, "n s s"], Float[Tensor, " n"]]:
    """Evidence about a window of slices for one class, the truth, and which slices are open; changed at random."""
    names = sorted(samples)
    weights = np.array([len(samples[name]) ** 0.5 for name in names])
    while True:
        chosen = samples[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
        sample = chosen[int(rng.integers(len(chosen)))]
        number, stack = int(rng.choice(sample.classes)), sample.stack
        first = int(rng.integers(max(1, len(stack.numbers) - _WINDOW + 1)))
        part = slice(first, first + _WINDOW)
        window = replace(stack, numbers=stack.numbers[part], images=stack.images[part], log_odds=stack.log_odds[part])
        is_open = np.array([slice_number not in sample.annotated for slice_number in window.numbers])
        if is_open.any():
            maps = evidence_maps(window, sample.annotated, [number])[0]
            return _changed(maps, sample.truth[part] == number + 1, is_open, rng)


def _changed(
    maps: NDArray[np.float32], truth: NDArray[np.bool_], is_open: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Mirrored along each axis, and brighter, darker or inverted."""
    for axis in (1, 2, 3):
        if rng.random() < 0.5:
            maps, truth = np.flip(maps, axis), np.flip(truth, axis - 1)
            if axis == 1:
                is_open, maps = is_open[::-1], maps.copy()
                for one, other in _SIDES:
                    maps[[one, other]] = maps[[other, one]]
    maps, images = maps.copy(), list(_IMAGES)
    maps[images] = maps[images] * rng.uniform(0.8, 1.2) + rng.uniform(-0.1, 0.1)
    if rng.random() < 0.3:
        maps[images] = 1 - maps[images]
    return (
        torch.from_numpy(maps),
        torch.from_numpy(truth.astype(np.float32)),
        torch.from_numpy(is_open.astype(np.float32)),
    )
