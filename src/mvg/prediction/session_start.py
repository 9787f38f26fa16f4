"""What a session begins with: its label values, and what a task predicts for the volume."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mvg.errors import PromptError
from mvg.imaging.coloring import MOST_CLASSES
from mvg.imaging.volume import Volume
from mvg.imaging.window import Window
from mvg.prediction.inference.other_knowledge import OtherPrompts
from mvg.prediction.inference.query_volume import QueryFeatures
from mvg.prediction.inference.same_volume import Combination
from mvg.prediction.result import Prediction

UNKNOWN = 255
"""The label value of pixels in a correction that the user says nothing about, unless another value is named."""


@dataclass(frozen=True, eq=False)
class SessionStart:
    """What a session begins with.

    values: the label values; modality: "CT" or anything else; ct_window: for CT, None for the one that shows what is
    labeled, see `SessionWindows`. first: the prediction of a task for the volume, with its uncertainty, None without
    one; others: the task's prompts for the slices of a query, where they are whole.
    """

    values: tuple[int, ...]
    modality: str
    first: Callable[[Volume], Prediction] | None = None
    others: Callable[[QueryFeatures], OtherPrompts | None] | None = None
    combination: Combination = "learnt"
    ct_window: Window | None = None


def check_values(values: Sequence[int]) -> None:
    """Raises PromptError for label values that cannot be the classes of a session."""
    if not 0 < len(set(values)) == len(values) <= MOST_CLASSES or 0 in values:
        raise PromptError(
            f"the labels {', '.join(map(str, values)) or 'of an empty list'}",
            f"1 to {MOST_CLASSES} different values other than 0",
            "name the labels that the volume shall have",
        )
