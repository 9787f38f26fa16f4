"""Cross-modal synthesis: one contrast -> another of the same patient (Sec. 3.1), for each ordered pair of channels."""

from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import Card
from mvg.data.store import SliceRow, StoredSlice
from mvg.tasks.task import Task, TaskSpec, windowed, windowed_target

_MIN_FILLED = 0.02  # share of the picture that shows something; with less there is nothing to synthesize


SPEC = TaskSpec("synthesis")


@dataclass(frozen=True)
class Synthesis(Task):
    """Channel number `source` -> channel number `goal`; a `goal` of None is the card's image target."""

    source: int
    goal: int | None

    spec: ClassVar[TaskSpec] = SPEC

    def accepts(self, row: SliceRow) -> bool:
        return row.filled >= _MIN_FILLED and (self.goal is not None or row.target_window is not None)

    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        image = windowed(stored, self.source)[None]
        if self.goal is not None:
            return image, windowed(stored, self.goal)
        return image, windowed_target(stored) if self.card.units == "HU" else stored.target_picture()


def offered_by(card: Card) -> list[Task]:
    """Every task of this kind that a data set with this card can serve."""
    names = card.channels
    found: list[Task] = [
        Synthesis(f"synthesis:{names[a]}->{names[b]}", card, a, b) for a, b in permutations(range(len(names)), 2)
    ]
    if card.image_task == "synthesis":
        found += [Synthesis(f"synthesis:{name}->{card.image_target}", card, a, None) for a, name in enumerate(names)]
    return found
