"""Which tasks prepared data sets offer in a split, and which slices can serve each task."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import md5

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import Split
from mvg.data.store import Store, StoredSet
from mvg.imaging.coloring import Coloring
from mvg.tasks import TargetType, Task, tasks_for


@dataclass(frozen=True)
class TaskSource:
    """One task of one data set, and for each patient the numbers of the slices that can serve it."""

    set: StoredSet
    task: Task
    patients: dict[str, NDArray[np.int64]]

    @cached_property
    def volumes(self) -> dict[str, list[NDArray[np.int64]]]:
        """For each patient the slices of each of its volumes, in order along it. Single pictures are no volumes."""
        return {patient: volumes for patient in self.patients if (volumes := self._volumes_of(patient))}

    def _volumes_of(self, patient: str) -> list[NDArray[np.int64]]:
        rows, volumes = self.set.rows, dict[str, list[int]]()
        for number in self.patients[patient]:
            volumes.setdefault(rows[int(number)].case, []).append(int(number))
        return [np.array(sorted(numbers)) for numbers in volumes.values() if len(numbers) > 1]

    def with_volumes(self, slices: int) -> "TaskSource":
        """This task with the patients alone that have a volume of at least so many slices, and these volumes alone."""
        long = {name: [v for v in volumes if len(v) >= slices] for name, volumes in self.volumes.items()}
        return replace(self, patients={name: np.concatenate(volumes) for name, volumes in long.items() if volumes})

    def of_split(self, split: Split) -> list[str]:
        """The patients of one split."""
        rows = self.set.rows
        return [name for name, numbers in self.patients.items() if rows[int(numbers[0])].split == split]


Sources = dict[TargetType, dict[str, list[list[TaskSource]]]]
"""Target type -> task kind -> per data set a list of the tasks that it offers."""


def task_sources(store: Store, splits: tuple[Split, ...], kinds: tuple[str, ...]) -> Sources:
    """The tasks of these kinds (if empty, all but those on request) that the data sets offer in these splits.

    Tasks with fields are left out: a field is computed for each request, and no objective scores it.
    """
    sources: Sources = {"labels": {}, "image": {}, "field": {}}
    for stored in store.sets.values():
        by_kind: dict[str, list[TaskSource]] = {}
        for task in tasks_for(stored.card):
            if task.spec.target_type == "field" or not task.spec.is_wanted(kinds):
                continue
            patients = _slices_by_patient(stored, task, splits)
            if patients:
                by_kind.setdefault(task.kind, []).append(TaskSource(stored, task, patients))
        for kind, tasks in by_kind.items():
            sources[tasks[0].task.spec.target_type].setdefault(kind, []).append(tasks)
    return sources


def _slices_by_patient(stored: StoredSet, task: Task, splits: tuple[Split, ...]) -> dict[str, NDArray[np.int64]]:
    numbers: dict[str, list[int]] = {}
    for row in stored.rows:
        if row.split in splits and task.accepts(row):
            numbers.setdefault(row.patient, []).append(row.number)
    return {patient: np.array(slices) for patient, slices in numbers.items()}


def predefined_colors(sources: Sources, name: str, values: Sequence[int]) -> tuple[float, ...]:
    """The fixed colors of these labels of the data set `name`, among the labels of all sets with a segmentation."""
    classes = {
        tasks[0].set.card.name: tuple(tasks[0].set.card.labels) for sets in sources["labels"].values() for tasks in sets
    }
    fixed = Coloring.predefined(name, classes)
    table = dict(zip(fixed.values, fixed.colors, strict=True))
    return tuple(table.get(value, 1.0) for value in values)


def subsample_patients(sources: Sources, fraction: float, limit: int, seed: int) -> Sources:
    """The sources with this fraction of each data set's patients and at most `limit` of them (0: no limit).

    At least one patient of every set is kept; the seed decides which.
    """
    if fraction == 1 and limit == 0:
        return sources

    def subsample(source: TaskSource) -> TaskSource:
        set_name = source.set.card.name
        order = sorted(source.patients, key=lambda name: md5(f"{seed}/{set_name}/{name}".encode()).digest())
        count = max(1, round(fraction * len(order)))
        kept = set(order[: min(count, limit or count)])
        return replace(source, patients={name: slices for name, slices in source.patients.items() if name in kept})

    return {
        target_type: {kind: [[subsample(task) for task in tasks] for tasks in sets] for kind, sets in kinds.items()}
        for target_type, kinds in sources.items()
    }
