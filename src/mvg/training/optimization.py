"""The one optimization core: a loop over batches for a budget, and the update of a network's weights.

Training, fine-tuning and the learned baselines of the benchmark hand it their batches and their loss. It keeps the
budget, the learning rate, clipping, averaged weights and everything that happens at a given cadence.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

OptimizerName = Literal["adamw", "muon"]
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class OptimizerSettings:
    """How weights are updated.

    name: "adamw", or "muon" for weights that are matrices (AdamW takes the rest).

    The learning rate rises linearly over the first `warmup_fraction` of the run, stays at `learning_rate`, and falls
    along a cosine to `final_fraction` of itself over the last `decay_fraction`. clip_norm: largest norm of the
    gradient; ema_decay: decay of the averaged weights that are validated and shipped.
    """

    name: OptimizerName = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup_fraction: float = 0.05
    decay_fraction: float = 1.0
    final_fraction: float = 0.01
    clip_norm: float = 1.0
    ema_decay: float = 0.999

    def rate_at(self, share: float) -> float:
        """The learning rate when this share of the run is done: linear warm-up, constant, then cosine."""
        if share < self.warmup_fraction:
            return self.learning_rate * max(share / self.warmup_fraction, 1e-3)
        start = max(self.warmup_fraction, 1 - self.decay_fraction)
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, share - start) / (1 - start))))
        return self.learning_rate * (self.final_fraction + (1 - self.final_fraction) * fall)


@dataclass
class Progress:
    """How far a run is: steps, samples (the sum of what steps report), seconds, and seconds spent waiting for data."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    waited: float = 0.0


@dataclass(frozen=True)
class Budget:
    """How long a run lasts: the first of seconds, samples and steps that is positive counts."""

    seconds: float = 0.0
    samples: int = 0
    steps: int = 0

    def share(self, progress: Progress) -> float:
        """The share of the budget that is spent; the run is over from 1 on."""
        if self.seconds > 0:
            return progress.seconds / self.seconds
        if self.samples > 0:
            return progress.samples / self.samples
        return progress.step / self.steps if self.steps > 0 else 1.0


@dataclass(frozen=True)
class StepResult:
    """What one step did: its loss, how many samples it used, and what the curve of its loss is called."""

    loss: float
    samples: int = 0
    name: str = ""


OnStep = Callable[[Progress, StepResult, float], None]
"""(progress after the step, its result, share of the budget that is spent) is called after every step."""


class Every:
    """An `OnStep` that calls `action(progress)` whenever more than `seconds` of the run went by since the last call."""

    def __init__(self, seconds: float, action: Callable[[Progress], None], since: float) -> None:
        """since: seconds of the run at the last call, of a run that goes on from a checkpoint."""
        self.seconds, self.action, self.last = seconds, action, since

    def __call__(self, progress: Progress, result: StepResult, share: float) -> None:
        if progress.seconds - self.last > self.seconds:
            self.last = progress.seconds
            self.action(progress)


@dataclass(frozen=True)
class Clock:
    """What measures a run.

    now: a time in seconds; agreed: makes one value of the seconds that each of several processes measured. Without one
    common clock some processes would stop a step before the others, which would wait for them forever. deadline: no
    step begins after this time, whatever is left of the budget.
    """

    now: Callable[[], float] = time.monotonic
    agreed: Callable[[float], float] = float
    deadline: float = math.inf

    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline < math.inf and self.agreed(self.now()) >= self.deadline


def train_loop(
    step: Callable[[Batch, Progress, float], StepResult],
    batches: Iterator[Batch],
    progress: Progress,
    budget: Budget,
    on_step: Sequence[OnStep] = (),
    clock: Clock = Clock(),
) -> None:
    """Take steps until the budget is spent or the deadline has passed; `progress` counts on from where it is.

    `step(batch, progress, share)` does one step, where `share` of the budget is spent before it. No batch is drawn
    where the budget is spent from the start. The time that `on_step` takes does not count.
    """
    while (share := budget.share(progress)) < 1 and not clock.is_over():
        started = clock.now()
        batch = next(batches)
        progress.waited += clock.now() - started
        result = step(batch, progress, share)
        progress.step += 1
        progress.samples += result.samples
        progress.seconds = clock.agreed(progress.seconds + clock.now() - started)
        for call in on_step:
            call(progress, result, budget.share(progress))


@dataclass(frozen=True, eq=False)
class Updater:
    """Updates one network: learning rate, backward pass, clipping, optimizer steps and averaged weights.

    network: whose gradients are clipped as one; optimizers: share its parameters; average: see `averaged_copy`, None
    where no average is kept; backward: the backward pass of a loss.
    """

    network: nn.Module
    optimizers: Sequence[Optimizer]
    settings: OptimizerSettings
    average: AveragedModel | None = None
    backward: Callable[[Tensor], None] = torch.autograd.backward

    def update(self, loss: Tensor, share: float) -> float:
        """One step down the gradient of `loss`, which is returned; `share` of the budget is spent.

        A step whose gradient is not finite is skipped.
        """
        self.begin(share)
        self.backward(loss)
        self.finish()
        return float(loss.detach())

    def begin(self, share: float) -> None:
        """Set the learning rate of a step, and forget gradients. The backward passes of its losses come next."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.settings.rate_at(share)
        self._clear()  # the loss of another network, a generator's of its critic, may have left gradients here

    def finish(self) -> None:
        """Take the step down the sum of the gradients, unless it is not finite."""
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip_norm)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # of sharded gradients
        if torch.isfinite(norm):
            for optimizer in self.optimizers:
                optimizer.step()
        self._clear()
        if self.average is not None:
            self.average.update_parameters(self.network)

    def _clear(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()


def averaged_copy(network: nn.Module, ema_decay: float, step: int = 0) -> AveragedModel:
    """An exponential moving average of a network's weights, which begins as a copy of them, in evaluation mode.

    The decay of a step is min(ema_decay, (1 + step) / (10 + step)), so that the first weights are soon forgotten.
    step: steps already taken.
    """

    def lerp(averages: list[Tensor], weights: list[Tensor], count: Tensor | int) -> None:
        done = int(count) - 1
        torch._foreach_lerp_(averages, weights, 1 - min(ema_decay, (1 + done) / (10 + done)))

    average = AveragedModel(network, multi_avg_fn=lerp)  # type: ignore[arg-type]
    # The first weights count as one average already: torch would replace them at the first update.
    average.n_averaged.fill_(1 + step)
    return average.eval()
