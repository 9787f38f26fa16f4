"""What a task knows of the slices of a volume beside those that are annotated in it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvg.model.outputs import PromptState

OVERCONFIDENCE = 3.0
"""Pixels that are wrong for each that the fused probabilities expect to be, see profiling/doubts."""

OtherPrompts = Callable[[int], PromptState | None]
"""A slice's number -> prompts of other volumes for it, with a channel for each class; None for none."""


def no_others(number: int) -> None:
    """No prompts of other volumes."""


@dataclass(frozen=True, eq=False)
class OtherKnowledge:
    """Beside the annotated slices.

    prompts: of other volumes, for a slice. log_odds: those (K, s, s) of a prediction from other volumes alone, by the
    number of the slice; they count for classes that no annotated slice shows. None without such a prediction.
    """

    prompts: OtherPrompts = no_others
    log_odds: Callable[[int], NDArray[np.float32]] | None = None


NOTHING_ELSE = OtherKnowledge()
