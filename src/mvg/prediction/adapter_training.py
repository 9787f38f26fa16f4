"""Trains one corrector of an adapter on some volumes, and keeps it as it was at several moments."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mvg.model.adapter import AdapterConfig, AdapterInput, Corrector, scores
from mvg.prediction.stacked import StackedSlices
from mvg.training.optimization import (
    Budget,
    Clock,
    OptimizerSettings,
    Progress,
    StepResult,
    Updater,
    averaged_copy,
    train_loop,
)
from mvg.training.optimizers import optimizers_for

SNAPSHOTS = (0.3, 1.0)
"""Shares of the training after which the averaged weights are kept."""
_OPTIMIZER = OptimizerSettings(
    learning_rate=2e-3, weight_decay=0.01, warmup_fraction=0.05, final_fraction=0.0, ema_decay=0.98
)
_BATCH = 8
_LEAST_SECONDS = 1e-3  # one step, whatever the time
_LABELED = 0.75  # share of slices that hold a label
# Standard deviations of the random changes: zoom and stretch (logarithms), rotation (radians), shift (half a picture).
_ZOOM, _STRETCH, _ROTATION, _SHIFT = 0.1, 0.05, 0.12, 0.06
_GAIN, _OFFSET = 0.15, 0.05  # of intensities, about their middle

Batch = tuple[AdapterInput, Float[Tensor, "b 1 s s"]]


@dataclass(frozen=True, eq=False)
class MemberTraining:
    """What correctors learn from; `warped`: whether slices are resampled; `on_step()` is called after every step."""

    config: AdapterConfig
    slices: StackedSlices
    warped: bool
    device: torch.device
    clock: Callable[[], float]
    on_step: Callable[[], None]

    def train(self, rows: NDArray[np.int64], seconds: float, seed: int) -> tuple[list[Corrector], int]:
        """A corrector trained on these slices for `seconds`, as of each of `SNAPSHOTS`, and the number of its steps."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = Corrector(self.config).to(self.device).train()
        average = averaged_copy(network, _OPTIMIZER.ema_decay)
        updater = Updater(network, optimizers_for(network, _OPTIMIZER), _OPTIMIZER, average)
        kept, progress = list[Corrector](), Progress()

        def step(batch: Batch, _progress: Progress, share: float) -> StepResult:
            inputs, targets = batch
            loss = _loss(scores(inputs.prediction, self.config.target_type) + network(inputs), targets, self.config)
            return StepResult(updater.update(loss, share))

        def keep(_progress: Progress, _result: StepResult, share: float) -> None:
            while len(kept) < len(SNAPSHOTS) and share >= SNAPSHOTS[len(kept)]:
                kept.append(copy.deepcopy(average.module).eval().requires_grad_(requires_grad=False))  # type: ignore[arg-type]
            self.on_step()

        budget = Budget(seconds=max(seconds, _LEAST_SECONDS))
        train_loop(step, self._batches(rows, seed), progress, budget, [keep], Clock(self.clock))
        return kept, progress.step

    def _batches(self, rows: NDArray[np.int64], seed: int) -> Iterator[Batch]:
        """Random slices, each changed by itself, without end."""
        rng = np.random.default_rng([seed, 3])
        labeled = rows[self.slices.labeled[rows]] if self.slices.labeled[rows].any() else rows
        while True:
            from_labeled = rng.random(_BATCH) < _LABELED
            chosen = np.where(from_labeled, rng.choice(labeled, _BATCH), rng.choice(rows, _BATCH))
            inputs, targets = self.slices.batch(chosen)
            labels = self.config.target_type == "labels"
            if self.warped:
                inputs, targets = warp(inputs, targets, rng, "nearest" if labels else "bilinear")
            if labels:
                inputs = inputs._replace(images=_toned(inputs.images, rng))
            yield inputs.map(lambda part: part.to(self.device)), targets.to(self.device)


def warp(inputs: AdapterInput, targets: Float[Tensor, "b 1 s s"], rng: np.random.Generator, mode: str) -> Batch:
    """Zoom, rotate and shift every slice at random, with its features and its prediction; no slice is mirrored.

    mode: of the resampling of targets, as torch names it.
    """
    count = len(targets)
    angle, zoom = rng.normal(0, _ROTATION, count), np.exp(rng.normal(0, _ZOOM, count))
    stretch, (down, across) = np.exp(rng.normal(0, _STRETCH, count)), rng.normal(0, _SHIFT, (2, count))
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    rows = np.array([[cos * stretch, -sin, across], [sin * stretch, cos, down]], np.float32)
    matrix = torch.from_numpy(rows.transpose(2, 0, 1).copy())

    def moved(maps: Tensor, mode: str, padding: str) -> Tensor:
        grid = F.affine_grid(matrix, list(maps.shape), align_corners=False)
        return F.grid_sample(maps, grid, mode, padding, align_corners=False)

    moved_inputs = inputs.map(lambda maps: moved(maps, "bilinear", "border"))
    images = moved(inputs.images, "bilinear", "zeros")
    return moved_inputs._replace(images=images), moved(targets, mode, "zeros")


def _toned(images: Float[Tensor, "b i s s"], rng: np.random.Generator) -> Float[Tensor, "b i s s"]:
    shape = (len(images), 1, 1, 1)
    gain, offset = (torch.from_numpy(rng.normal(0, spread, shape)).float() for spread in (_GAIN, _OFFSET))
    return ((images - 0.5) * gain.exp() + 0.5 + offset).clamp(0, 1)


def _loss(output: Float[Tensor, "b k s s"], targets: Float[Tensor, "b 1 s s"], config: AdapterConfig) -> Tensor:
    """Cross-entropy and soft Dice of logits, or the squared error of pictures."""
    if config.target_type != "labels":
        return F.mse_loss(output, targets)
    numbers = targets[:, 0].long()
    one_hot = F.one_hot(numbers, config.channels).movedim(-1, 1).float()
    probabilities = output.softmax(dim=1)
    both = 2 * (probabilities * one_hot).sum((0, 2, 3)) + 1
    dice = both / (probabilities.sum((0, 2, 3)) + one_hot.sum((0, 2, 3)) + 1)
    return F.cross_entropy(output, numbers) + 1 - dice[1:].mean()
