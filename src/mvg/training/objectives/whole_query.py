"""Whole query: only the target of the last pair is hidden and scored, as in the code of the paper's authors."""

import torch

from mvg.canvas import Pairs, all_visible, compose
from mvg.training.batch import ObjectiveContext, TrainingBatch


def make_batch(pairs: Pairs, patch: int, context: ObjectiveContext) -> TrainingBatch:
    """Hide the whole target of the query; the prompts stay visible."""
    visible = all_visible(pairs, patch)
    visible[:, -1] = False
    last = visible.shape[1] - 1
    scored = torch.ones_like(visible[:, last:], dtype=torch.float32)
    return TrainingBatch(compose(pairs, visible), "causal", last, scored, None)
