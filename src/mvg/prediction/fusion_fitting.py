"""Fits learnt fusion to samples of volumes with annotated slices; the model that answers stays as it is."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mvg.model.fusion import Evidence, Fusion
from mvg.prediction.fusion_samples import FusionSample
from mvg.prediction.inference.evidence import evidence_maps

_WINDOW = 10  # slices of a training example
_BATCH = 2
_RATE, _WARMUP_STEPS, _DECAY, _CLIP = 2e-3, 50, 0.01, 1.0
_AVERAGE = 0.995  # decay of the averaged weights
_SMOOTH_VOLUME, _SMOOTH_SLICE = 50.0, 20.0  # pixels that are added to both sides of Dice
_LEAST_AREA = 100.0  # pixels that the cross-entropy of a small structure is divided by
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
    rng, network, start = np.random.default_rng(seed), Fusion(), clock()
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer, step = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY), 0
    while (share := (clock() - start) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1, (step + 1) / _WARMUP_STEPS) * (1 - share)
        losses = [_loss(network, *_example(samples, rng)) for _ in range(_BATCH)]
        loss = torch.stack(losses).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimizer.step()
        step += 1
        for name, tensor in network.state_dict().items():
            average[name].lerp_(tensor, 1 - min(_AVERAGE, step / (10 + step)))
        on_step(clock() - start, float(loss.detach()))
    network.load_state_dict(average)
    return network.eval()


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


def _loss(
    network: Fusion, maps: Float[Tensor, "f n s s"], truth: Float[Tensor, "n s s"], is_open: Float[Tensor, " n"]
) -> Float[Tensor, ""]:
    """Cross-entropy over the size of the structure, and Dice of the whole window and of each slice."""
    mask = is_open[:, None, None]
    log_odds = network(maps[None])[0]
    area = (truth * mask).sum().clamp(min=_LEAST_AREA)
    entropy = (F.binary_cross_entropy_with_logits(log_odds, truth, reduction="none") * mask).sum() / area
    probability, true = log_odds.sigmoid() * mask, truth * mask
    whole = 1 - (2 * (probability * true).sum() + _SMOOTH_VOLUME) / (probability.sum() + true.sum() + _SMOOTH_VOLUME)
    both, sum_of_both = (probability * true).sum((1, 2)), probability.sum((1, 2)) + true.sum((1, 2))
    slices = 1 - (2 * both + _SMOOTH_SLICE) / (sum_of_both + _SMOOTH_SLICE)
    loss: Tensor = 0.5 * entropy.clamp(max=20) + whole + 0.5 * (slices * is_open).sum() / is_open.sum()
    return loss
