"""Whole query: only the last pair's target is hidden and scored, as in the code that the paper's authors released."""

import torch

from mvg.canvas import Pairs, compose, everywhere
from mvg.training.batch import ObjectiveContext, TrainingBatch


def ask(pairs: Pairs, patch: int, draw: ObjectiveContext) -> TrainingBatch:
    """Hide the query's target whole; the prompts are seen in full."""
    visible = everywhere(pairs, patch)
    visible[:, -1] = False
    last = visible.shape[1] - 1
    scored = torch.ones_like(visible[:, last:], dtype=torch.float32)
    return TrainingBatch(compose(pairs, visible), "causal", last, scored, None)
