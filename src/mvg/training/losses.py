"""What an answer costs: palette cross-entropy and Dice, and smooth L1 (Sec. 4.1); their shares are in the recipe."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mvg.canvas import Pairs, image_patches, spread
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
    answer: ModelOutput, question: TrainingBatch, truth: Pairs, patch: int, settings: LossSettings
) -> Float[Tensor, ""]:
    """The mean loss of a batch. `truth` holds what the canvas hides, one channel per class, painted or not."""
    total = torch.zeros((), device=truth.images.device)
    if question.scored is not None:
        weight = spread(question.scored, truth.images.shape[-1])
        total = total + _target_loss(answer, truth, question.first, weight, settings)
    if question.scored_images is not None:
        assert answer.images is not None, "hidden image patches are always reconstructed"
        error = F.smooth_l1_loss(
            answer.images.float(), image_patches(truth.images, patch), beta=settings.smooth_l1_beta, reduction="none"
        ).mean(-1)
        hidden = rearrange(question.scored_images, "b n h w -> b n (h w)").float()
        total = total + settings.image_patches * (error * hidden).sum() / hidden.sum().clamp(min=1)
    return total


def _target_loss(answer: ModelOutput, truth: Pairs, first: int, weight: Tensor, settings: LossSettings) -> Tensor:
    targets = truth.targets[:, first:]
    assert answer.pictures is not None
    if truth.target_type == "image":
        return settings.smooth_l1 * _image_loss(
            answer.pictures.float(), truth.images[:, first:], targets, weight, settings
        )
    if answer.logits is not None:
        return _class_loss(answer.logits.float(), targets, truth.used, weight, settings)
    logits, painted = _painted_loss(answer.pictures.float(), truth, targets, weight, settings)
    return painted + _class_loss(logits, targets, truth.used, weight, settings)


def _image_loss(said: Tensor, query: Tensor, targets: Tensor, weight: Tensor, settings: LossSettings) -> Tensor:
    """Smooth L1, of a query's own scale where the settings say so."""
    error = F.smooth_l1_loss(said, targets, beta=settings.smooth_l1_beta, reduction="none") * weight
    if settings.relative_floor == 0:
        return error.sum() / weight.sum().clamp(min=1)
    unchanged = F.smooth_l1_loss(query, targets, beta=settings.smooth_l1_beta, reduction="none") * weight
    counts = weight.sum((-3, -2, -1)).clamp(min=1)
    share = error.sum((-3, -2, -1)) / (unchanged.sum((-3, -2, -1)) + settings.relative_floor * counts)
    asked = weight.amax((-3, -2, -1))
    return (share * asked).sum() / asked.sum().clamp(min=1)


def _painted_loss(
    picture: Tensor, truth: Pairs, targets: Tensor, weight: Tensor, settings: LossSettings
) -> tuple[Tensor, Tensor]:
    """Painted: smooth L1 to the colors, and class logits by nearness of color (background is color 0)."""
    colors = rearrange(truth.colors, "b c -> b 1 c 1 1")
    wanted = (targets * colors).sum(2, keepdim=True)
    balance = torch.where(wanted > 0, 1.0, settings.background_weight) * weight
    error = F.smooth_l1_loss(picture, wanted, beta=settings.smooth_l1_beta, reduction="none")
    near = _SHARPNESS * (picture.abs() - (picture - colors).abs())
    return near, settings.smooth_l1 * (error * balance).sum() / balance.sum().clamp(min=1)


def _class_loss(logits: Tensor, targets: Tensor, used: Tensor, weight: Tensor, settings: LossSettings) -> Tensor:
    """Cross-entropy over [background, classes] and soft Dice per class; channels that are not used take no part."""
    unused = ~rearrange(used, "b c -> b 1 c 1 1")
    logits = logits.masked_fill(unused, -1e4)
    scores = torch.cat([torch.zeros_like(logits[:, :, :1]), logits], dim=2)
    log_chance = scores.log_softmax(dim=2)
    everything = torch.cat([1 - targets.sum(2, keepdim=True), targets], dim=2)
    entropy = -(log_chance * everything).sum(2, keepdim=True)
    total = settings.cross_entropy * (entropy * weight).sum() / weight.sum().clamp(min=1)
    chance = log_chance[:, :, 1:].exp() * weight
    overlap = (chance * targets).sum((-2, -1))
    size = chance.sum((-2, -1)) + (targets * weight).sum((-2, -1))
    # One pixel per thousand as a floor: an absent class costs what is painted falsely, and nothing when nothing is.
    floor = 1e-3 * weight.shape[-1] ** 2
    dice = 1 - (2 * overlap + floor) / (size + floor)
    counts = used[:, None].float() * weight.amax((-3, -2, -1))[:, :, None]
    return total + settings.dice * (dice * counts).sum() / counts.sum().clamp(min=1)
