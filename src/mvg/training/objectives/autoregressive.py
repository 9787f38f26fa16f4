"""Autoregressive: predicts each target from its image and the pairs before it, all in one pass (Eq. 2)."""

import torch

from mvg.canvas import Pairs, all_visible, compose
from mvg.training.batch import ObjectiveContext, TrainingBatch


def make_batch(pairs: Pairs, patch: int, context: ObjectiveContext) -> TrainingBatch:
    """All targets are on the canvas; causal attention between pairs hides each target from its own prediction."""
    visible = all_visible(pairs, patch)
    scored = torch.ones_like(visible[:, 1:], dtype=torch.float32)
    return TrainingBatch(compose(pairs, visible, first_query=1), "causal", 1, scored, None)
