"""The training loss: cross-entropy and Dice of classes, smooth L1 of pictures (Sec. 4.1)."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mvg.canvas import Pairs, image_patches, per_pixel
from mvg.model.outputs import ModelOutput
from mvg.training.batch import TrainingBatch

_SHARPNESS = 32.0  # probabilities of painted classes fall off by e per 1 / 32 of color


@dataclass(frozen=True)
class LossSettings:
    """Weights of the parts of the loss: smooth L1, cross-entropy, Dice, and reconstructed image patches.

    smooth_l1_beta: where smooth L1 turns linear; background_weight: of pixels without a label in painted targets;
    relative_floor: where positive, the loss of an image target is divided by the loss of its unchanged query image plus
    this value, so that a small void or faint noise counts as much as a change of contrast (0: plain smooth L1, as in
    the paper).
    """

    smooth_l1: float = 1.0
    cross_entropy: float = 1.0
    dice: float = 1.0
    image_patches: float = 0.1
    smooth_l1_beta: float = 0.01
    background_weight: float = 0.1
    relative_floor: float = 0.0


def loss_of(
    output: ModelOutput, batch: TrainingBatch, pairs: Pairs, patch: int, settings: LossSettings
) -> Float[Tensor, ""]:
    """The mean loss of a batch. pairs: the true targets, one channel per class, even where the model paints."""
    total = torch.zeros((), device=pairs.images.device)
    if batch.scored is not None:
        weight = per_pixel(batch.scored, pairs.images.shape[-1])
        total = total + _target_loss(output, pairs, batch.first, weight, settings)
    if batch.scored_images is not None:
        assert output.images is not None, "hidden image patches are always reconstructed"
        error = F.smooth_l1_loss(
            output.images.float(), image_patches(pairs.images, patch), beta=settings.smooth_l1_beta, reduction="none"
        ).mean(-1)
        hidden = rearrange(batch.scored_images, "b n h w -> b n (h w)").float()
        total = total + settings.image_patches * (error * hidden).sum() / hidden.sum().clamp(min=1)
    return total


def _target_loss(output: ModelOutput, pairs: Pairs, first: int, weight: Tensor, settings: LossSettings) -> Tensor:
    """The loss of the targets of the pairs from `first` on. weight: (b, m, 1, s, s)."""
    targets = pairs.targets[:, first:]
    assert output.pictures is not None
    pictures = output.pictures.float()
    if pairs.target_type != "labels":
        return settings.smooth_l1 * _image_loss(pictures, pairs.images[:, first:, :1], targets, weight, settings)
    if output.logits is not None:
        return _class_loss(output.logits.float(), targets, pairs.used, weight, settings)
    logits, painted = _painted_loss(pictures, pairs, targets, weight, settings)
    return painted + _class_loss(logits, targets, pairs.used, weight, settings)


def _image_loss(predicted: Tensor, queries: Tensor, targets: Tensor, weight: Tensor, settings: LossSettings) -> Tensor:
    """Smooth L1, relative to that of the unchanged query where `relative_floor` is positive."""
    error = F.smooth_l1_loss(predicted, targets, beta=settings.smooth_l1_beta, reduction="none") * weight
    if settings.relative_floor == 0:
        return error.sum() / weight.sum().clamp(min=1)
    unchanged = F.smooth_l1_loss(queries, targets, beta=settings.smooth_l1_beta, reduction="none") * weight
    pixels = weight.sum((-3, -2, -1)).clamp(min=1)
    relative = error.sum((-3, -2, -1)) / (unchanged.sum((-3, -2, -1)) + settings.relative_floor * pixels)
    scored = weight.amax((-3, -2, -1))
    return (relative * scored).sum() / scored.sum().clamp(min=1)


def _painted_loss(
    pictures: Tensor, pairs: Pairs, targets: Tensor, weight: Tensor, settings: LossSettings
) -> tuple[Tensor, Tensor]:
    """Class logits from the distance to each class's color (background is color 0), and smooth L1 to the colors."""
    colors = rearrange(pairs.colors, "b c -> b 1 c 1 1")
    painted = (targets * colors).sum(2, keepdim=True)
    balance = torch.where(painted > 0, 1.0, settings.background_weight) * weight
    error = F.smooth_l1_loss(pictures, painted, beta=settings.smooth_l1_beta, reduction="none")
    logits = _SHARPNESS * (pictures.abs() - (pictures - colors).abs())
    return logits, settings.smooth_l1 * (error * balance).sum() / balance.sum().clamp(min=1)


def _class_loss(logits: Tensor, targets: Tensor, used: Tensor, weight: Tensor, settings: LossSettings) -> Tensor:
    """Cross-entropy over background and classes, and soft Dice per class; unused channels do not count."""
    logits = logits.masked_fill(~rearrange(used, "b c -> b 1 c 1 1"), -1e4)
    log_probabilities = torch.cat([torch.zeros_like(logits[:, :, :1]), logits], dim=2).log_softmax(dim=2)
    with_background = torch.cat([1 - targets.sum(2, keepdim=True), targets], dim=2)
    entropy = -(log_probabilities * with_background).sum(2, keepdim=True)
    total = settings.cross_entropy * (entropy * weight).sum() / weight.sum().clamp(min=1)
    dice = _dice_loss(log_probabilities[:, :, 1:].exp(), targets, weight)
    counts = used[:, None].float() * weight.amax((-3, -2, -1))[:, :, None]
    return total + settings.dice * (dice * counts).sum() / counts.sum().clamp(min=1)


def _dice_loss(probabilities: Tensor, targets: Tensor, weight: Tensor) -> Float[Tensor, "b m c"]:
    """1 - soft Dice of each class.

    Both parts of the fraction get 0.001 of the pixels added, so an absent class costs its false positives, and nothing
    if there are none.
    """
    probabilities = probabilities * weight
    overlap = (probabilities * targets).sum((-2, -1))
    size = probabilities.sum((-2, -1)) + (targets * weight).sum((-2, -1))
    floor = 1e-3 * weight.shape[-1] ** 2
    return 1 - (2 * overlap + floor) / (size + floor)
