"""Unpaired: one prompt is given another prompt's target, and answers are scored all the same.

A model that is asked so now and then learns to check prompts against one another. For the last part of a run.
"""

from dataclasses import replace

import torch

from mvg.canvas import Pairs, compose, everywhere
from mvg.training.batch import ObjectiveContext, TrainingBatch

_RIGHT = 2  # prompts that stay as they are, at least, where an answer is scored


def ask(pairs: Pairs, patch: int, draw: ObjectiveContext) -> TrainingBatch:
    """Show a wrong target; score panels that at least two right prompts precede, or the last where there are fewer.

    Only panels that are not scored are mixed up: no answer is shown under another panel's image.
    """
    panels = pairs.images.shape[1]
    first, shown = min(_RIGHT + 1, panels - 1), pairs
    if first > 1:
        wrong = int(torch.randint(first, (1,), generator=draw.generator))
        other = int(torch.randint(first - 1, (1,), generator=draw.generator))
        targets = pairs.targets.clone()
        targets[:, wrong] = pairs.targets[:, other + (other >= wrong)]
        shown = replace(pairs, targets=targets)
    visible = everywhere(pairs, patch)
    scored = torch.ones_like(visible[:, first:], dtype=torch.float32)
    return TrainingBatch(compose(shown, visible, first_query=first), "causal", first, scored, None)
