"""Masked modeling: hides and reconstructs random patches of images and targets; all pairs attend to all (Sec. 3.3)."""

import torch
from jaxtyping import Bool
from torch import Tensor

from mvg.canvas import Pairs, all_visible, compose
from mvg.training.batch import ObjectiveContext, TrainingBatch


def draw_visible(whole: Bool[Tensor, "b n h w"], context: ObjectiveContext) -> Bool[Tensor, "b n h w"]:
    """The patches that stay visible: a share 1 - mask_ratio of each request's patches."""
    noise = torch.rand(whole.flatten(1).shape, generator=context.generator).to(whole.device)
    count = round(noise.shape[1] * (1 - context.mask_ratio))
    kept = torch.zeros_like(noise, dtype=torch.bool).scatter(1, noise.argsort(dim=1)[:, :count], value=True)
    return kept.reshape(whole.shape)


def make_batch(pairs: Pairs, patch: int, context: ObjectiveContext) -> TrainingBatch:
    """Hide the share `mask_ratio` of all patches of images and targets."""
    whole = all_visible(pairs, patch)
    visible, image_visible = draw_visible(whole, context), draw_visible(whole, context)
    canvas = compose(pairs, visible, image_visible, first_query=0)
    return TrainingBatch(canvas, "full", 0, (~visible).float(), ~image_visible)
