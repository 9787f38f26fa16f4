"""Unpaired: one prompt is given another prompt's target, and answers are scored all the same.

A model that is asked so now and then learns to check prompts against one another. For the last part of a run.
"""

from dataclasses import replace

import torch

from mvg.canvas import Pairs, compose, everywhere
from mvg.training.question import Draw, Question

_RIGHT = 2  # prompts that stay as they are, at least, where an answer is scored


def ask(pairs: Pairs, patch: int, draw: Draw) -> Question:
    """Show a wrong target; score panels that at least two right prompts precede, or the last where there are fewer."""
    panels = pairs.images.shape[1]
    shown = pairs
    if panels > _RIGHT:
        wrong = int(torch.randint(panels - 1, (1,), generator=draw.generator))
        other = int(torch.randint(panels - 2, (1,), generator=draw.generator))
        targets = pairs.targets.clone()
        targets[:, wrong] = pairs.targets[:, other + (other >= wrong)]
        shown = replace(pairs, targets=targets)
    first = min(_RIGHT + 1, panels - 1)
    visible = everywhere(pairs, patch)
    scored = torch.ones_like(visible[:, first:], dtype=torch.float32)
    return Question(compose(shown, visible, first_query=first), "causal", first, scored, None)
