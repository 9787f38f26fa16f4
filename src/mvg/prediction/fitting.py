"""Fits a small network to samples of what the weights answer; the weights themselves stay as they are."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

_RATE, _WARMUP_STEPS, _DECAY, _CLIP = 2e-3, 50, 0.01, 1.0
_AVERAGE = 0.995  # decay of the averaged weights
_SMOOTH_VOLUME, _SMOOTH_SLICE = 50.0, 20.0  # pixels that are added to both sides of Dice
_LEAST_AREA = 100.0  # pixels that the cross-entropy of a small structure is divided by
_Network = TypeVar("_Network", bound=nn.Module)


@dataclass(frozen=True)
class FittingTime:
    """seconds: of processor time, as `clock` counts; batch: examples of a step."""

    seconds: float
    batch: int = 2
    clock: Callable[[], float] = time.process_time


def fit(
    network: _Network,
    loss_of_example: Callable[[_Network], Float[Tensor, ""]],
    how: FittingTime,
    on_step: Callable[[float, float], None],
) -> _Network:
    """The network after it has learned; its weights are averages over the last steps.

    loss_of_example: draws an example and returns its loss; `on_step(seconds so far, loss)` is called after every step.
    """
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer, step, start = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY), 0, how.clock()
    while (share := (how.clock() - start) / how.seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1, (step + 1) / _WARMUP_STEPS) * (1 - share)
        optimizer.zero_grad()
        total = 0.0
        for _ in range(how.batch):
            loss = loss_of_example(network) / how.batch
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimizer.step()
        step += 1
        for name, tensor in network.state_dict().items():
            average[name].lerp_(tensor, 1 - min(_AVERAGE, step / (10 + step)))
        on_step(how.clock() - start, total)
    network.load_state_dict(average)
    return network.eval()


def structure_loss(
    log_odds: Float[Tensor, "n h w"], truth: Float[Tensor, "n h w"], is_open: Float[Tensor, " n"]
) -> Float[Tensor, ""]:
    """Cross-entropy over the size of the structure, and Dice of the whole window and of each slice.

    is_open (n,): 1 for slices that count.
    """
    mask = is_open[:, None, None]
    area = (truth * mask).sum().clamp(min=_LEAST_AREA)
    entropy = (F.binary_cross_entropy_with_logits(log_odds, truth, reduction="none") * mask).sum() / area
    probability, true = log_odds.sigmoid() * mask, truth * mask
    whole = 1 - (2 * (probability * true).sum() + _SMOOTH_VOLUME) / (probability.sum() + true.sum() + _SMOOTH_VOLUME)
    both, sum_of_both = (probability * true).sum((1, 2)), probability.sum((1, 2)) + true.sum((1, 2))
    slices = 1 - (2 * both + _SMOOTH_SLICE) / (sum_of_both + _SMOOTH_SLICE)
    loss: Tensor = 0.5 * entropy.clamp(max=20) + whole + 0.5 * (slices * is_open).sum() / is_open.sum()
    return loss
