"""Medical MAE pretraining: only image patches are hidden and reconstructed, without targets (Table 6)."""

import torch

from mvg.canvas import Pairs, all_visible, compose
from mvg.training.batch import ObjectiveContext, TrainingBatch
from mvg.training.objectives.masked import draw_visible


def make_batch(pairs: Pairs, patch: int, context: ObjectiveContext) -> TrainingBatch:
    """Hide the share `mask_ratio` of the images' patches, and every target."""
    whole = all_visible(pairs, patch)
    image_visible = draw_visible(whole, context)
    canvas = compose(pairs, torch.zeros_like(whole), image_visible, first_query=0)
    return TrainingBatch(canvas, "images", 0, None, ~image_visible)
