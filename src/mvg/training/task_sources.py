"""What one split offers: the tasks of prepared sets, and the slices that can serve them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import md5

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import Split
from mvg.data.store import Store, StoredSet
from mvg.imaging.coloring import Coloring
from mvg.tasks import TargetType, Task, tasks_for


@dataclass(frozen=True)
class TaskSource:
    """One task of one set, and the slices of each patient that can serve it."""

    set: StoredSet
    task: Task
    patients: dict[str, NDArray[np.int64]]

    def on(self, split: Split) -> list[str]:
        """The patients of one split."""
        rows = self.set.rows
        return [name for name, numbers in self.patients.items() if rows[int(numbers[0])].split == split]


Sources = dict[TargetType, dict[str, list[list[TaskSource]]]]
"""Answer kind -> task kind -> one list per set of the tasks that it offers."""


def task_sources(store: Store, splits: tuple[Split, ...], kinds: tuple[str, ...]) -> Sources:
    """What the sets offer in these splits; task kinds outside `kinds` (all if empty) are left out."""
    found: Sources = {"labels": {}, "image": {}}
    for stored in store.sets.values():
        offered: dict[str, list[TaskSource]] = {}
        for task in tasks_for(stored.card):
            if kinds and task.kind not in kinds:
                continue
            patients: dict[str, list[int]] = {}
            for row in stored.rows:
                if row.split in splits and task.accepts(row):
                    patients.setdefault(row.patient, []).append(row.number)
            if patients:
                source = TaskSource(stored, task, {name: np.array(numbers) for name, numbers in patients.items()})
                offered.setdefault(task.kind, []).append(source)
        for kind, sources in offered.items():
            found[sources[0].task.spec.target_type].setdefault(kind, []).append(sources)
    return found


def predefined_colors(sources: Sources, name: str, values: Sequence[int]) -> tuple[float, ...]:
    """The fixed colors of these labels of the set `name`, among those of all sets that offer a segmentation."""
    classes = {
        sources[0].set.card.name: tuple(sources[0].set.card.labels)
        for sets in sources["labels"].values()
        for sources in sets
    }
    fixed = Coloring.predefined(name, classes)
    table = dict(zip(fixed.values, fixed.colors, strict=True))
    return tuple(table.get(value, 1.0) for value in values)


def subsample_patients(sources: Sources, share: float, most: int, seed: int) -> Sources:
    """The sources with this share of each set's patients, and no more than so many (0: all), drawn by the seed; one of
    every set at least.
    """
    if share == 1 and most == 0:
        return sources

    def kept(source: TaskSource) -> TaskSource:
        stored = source.set.card.name
        order = sorted(source.patients, key=lambda name: md5(f"{seed}/{stored}/{name}".encode()).digest())
        count = max(1, round(share * len(order)))
        left = order[: min(count, most or count)]
        return replace(source, patients={name: source.patients[name] for name in source.patients if name in left})

    return {
        answers: {kind: [[kept(source) for source in some] for some in sets] for kind, sets in kinds.items()}
        for answers, kinds in sources.items()
    }
