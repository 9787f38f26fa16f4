"""Autoregressive: each target from the images up to its own and the targets before it, all in one pass (Eq. 2)."""

import torch

from mvg.canvas import Pairs, compose, everywhere
from mvg.training.batch import ObjectiveContext, TrainingBatch


def ask(pairs: Pairs, patch: int, draw: ObjectiveContext) -> TrainingBatch:
    """All targets are on the canvas; panel-causal attention keeps each from its own answer."""
    visible = everywhere(pairs, patch)
    scored = torch.ones_like(visible[:, 1:], dtype=torch.float32)
    return TrainingBatch(compose(pairs, visible, first_query=1), "causal", 1, scored, None)
