"""Cross-modal synthesis: one contrast -> another of the same patient (Sec. 3.1), for each ordered pair of channels."""

from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import Card, Case, DataSet
from mvg.data.store import SliceRow, StoredSlice
from mvg.tasks.case_pair import CaseFiles, CasePair
from mvg.tasks.task import Task, TaskSpec, windowed, windowed_target

_MAX_EVALUATED = 3


SPEC = TaskSpec("synthesis")


@dataclass(frozen=True)
class Synthesis(Task):
    """The channel -> channel number `goal`; a `goal` of None is the card's image target."""

    goal: int | None = None

    spec: ClassVar[TaskSpec] = SPEC

    @property
    def target_channel(self) -> int | None:
        return self.goal

    def accepts(self, row: SliceRow) -> bool:
        return super().accepts(row) and (self.goal is not None or row.target_window is not None)

    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        image = windowed(stored, self.channel)[None]
        if self.goal is not None:
            return image, windowed(stored, self.goal)
        return image, windowed_target(stored) if self.card.units == "HU" else stored.target_picture()

    def serves(self, case: Case) -> bool:
        return case.target is not None or self.goal is not None

    def case_pair(self, files: CaseFiles, rng: np.random.Generator) -> CasePair:
        target = files.target() if self.goal is None else files.image(self.goal)
        return CasePair(files.image(self.channel), target, labels=files.labels())


def offered_by(card: Card) -> list[Task]:
    """Every task of this kind that a data set with this card can serve."""
    names = card.channels
    offered: list[Task] = [
        Synthesis(f"synthesis:{names[a]}->{names[b]}", card, a, b) for a, b in permutations(range(len(names)), 2)
    ]
    if card.image_task == "synthesis":
        offered += [Synthesis(f"synthesis:{name}->{card.image_target}", card, a, None) for a, name in enumerate(names)]
    return offered


def evaluated(tasks: list[Task], data: DataSet) -> list[Task]:
    """Up to three directions: those to the card's image target, else between the first channel and the others."""
    directions = [task for task in tasks if isinstance(task, Synthesis)]
    to_target = [task for task in directions if task.goal is None]
    wanted = ((0, 1), (1, 0), (0, len(data.card.channels) - 1))
    chosen = to_target or [task for task in directions if (task.channel, task.goal) in wanted]
    return list(chosen[:_MAX_EVALUATED])
