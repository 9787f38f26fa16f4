"""Unpaired: one prompt gets the target of another prompt, while the predictions are scored as usual.

In a small share of the steps, this teaches a model to compare prompts with one another. For the last part of a run.
"""

from dataclasses import replace

import torch

from mvg.canvas import Pairs, all_visible, compose
from mvg.training.batch import ObjectiveContext, TrainingBatch

_RIGHT = 2  # fewest prompts with the right target before a pair that is scored


def make_batch(pairs: Pairs, patch: int, context: ObjectiveContext) -> TrainingBatch:
    """Give one prompt a wrong target; score the pairs after at least two right prompts, or the last pair alone.

    Wrong targets come from pairs that are not scored, so no scored target appears with another image.
    """
    panels = pairs.images.shape[1]
    first, mixed = min(_RIGHT + 1, panels - 1), pairs
    if first > 1:
        wrong = int(torch.randint(first, (1,), generator=context.generator))
        other = int(torch.randint(first - 1, (1,), generator=context.generator))
        targets = pairs.canvas_targets.clone()
        targets[:, wrong] = pairs.canvas_targets[:, other + (other >= wrong)]
        mixed = replace(pairs, prompt_targets=targets)
    visible = all_visible(pairs, patch)
    scored = torch.ones_like(visible[:, first:], dtype=torch.float32)
    return TrainingBatch(compose(mixed, visible, first_query=first), "causal", first, scored, None)
