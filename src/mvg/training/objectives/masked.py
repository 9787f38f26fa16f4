"""Masked modeling: random patches of images and targets are hidden and reconstructed, all see all (Sec. 3.3)."""

import torch
from jaxtyping import Bool
from torch import Tensor

from mvg.canvas import Pairs, compose, everywhere
from mvg.training.batch import ObjectiveContext, TrainingBatch


def keep(like: Bool[Tensor, "b n h w"], draw: ObjectiveContext) -> Bool[Tensor, "b n h w"]:
    """Patches that stay visible: a share 1 - mask_ratio of each request's, drawn without replacement."""
    noise = torch.rand(like.flatten(1).shape, generator=draw.generator).to(like.device)
    count = round(noise.shape[1] * (1 - draw.mask_ratio))
    kept = torch.zeros_like(noise, dtype=torch.bool).scatter(1, noise.argsort(dim=1)[:, :count], value=True)
    return kept.reshape(like.shape)


def ask(pairs: Pairs, patch: int, draw: ObjectiveContext) -> TrainingBatch:
    """Hide the share `mask_ratio` of all patches of the canvas, images and targets alike."""
    whole = everywhere(pairs, patch)
    visible, image_visible = keep(whole, draw), keep(whole, draw)
    canvas = compose(pairs, visible, image_visible, first_query=0)
    return TrainingBatch(canvas, "full", 0, (~visible).float(), ~image_visible)
