"""Medical MAE pretraining: image patches alone are hidden and reconstructed; no target is involved (Table 6)."""

import torch

from mvg.canvas import Pairs, compose, everywhere
from mvg.training.objectives.masked import keep
from mvg.training.question import Draw, Question


def ask(pairs: Pairs, patch: int, draw: Draw) -> Question:
    """Hide the share `ratio` of the images' patches, and every target."""
    whole = everywhere(pairs, patch)
    image_visible = keep(whole, draw)
    canvas = compose(pairs, torch.zeros_like(whole), image_visible, first_query=0)
    return Question(canvas, "images", 0, None, ~image_visible)
