"""Autoregressive: each target from the images up to its own and the targets before it, all in one pass (Eq. 2)."""

import torch

from mvg.canvas import Pairs, compose, everywhere
from mvg.training.batch import ObjectiveContext, TrainingBatch


def ask(pairs: Pairs, patch: int, draw: ObjectiveContext) -> TrainingBatch:
    """All targets are on the canvas; panel-causal attention keeps each from its own answer."""
    visible = everywhere(pairs, patch)
    first = 0 if draw.first_pair > 0 or visible.shape[1] == 1 else 1
    scored = torch.ones_like(visible[:, first:], dtype=torch.float32)
    if first == 0:
        scored[:, 0] = draw.first_pair
    return TrainingBatch(compose(pairs, visible, first_query=1), "causal", first, scored, None)
