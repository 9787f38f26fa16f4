"""Medical MAE pretraining: image patches alone are hidden and reconstructed; no target is involved (Table 6)."""

import torch

from mvg.canvas import Pairs, compose, everywhere
from mvg.training.batch import ObjectiveContext, TrainingBatch
from mvg.training.objectives.masked import keep


def ask(pairs: Pairs, patch: int, draw: ObjectiveContext) -> TrainingBatch:
    """Hide the share `mask_ratio` of the images' patches, and every target."""
    whole = everywhere(pairs, patch)
    image_visible = keep(whole, draw)
    canvas = compose(pairs, torch.zeros_like(whole), image_visible, first_query=0)
    return TrainingBatch(canvas, "images", 0, None, ~image_visible)
