"""Labels that a viewer submits: accepted corrections of their study, and an example of the task."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap
from mvg.prediction.corrections import on_grid_of
from mvg.server.examples import accept_as_example, refresh_dataset
from mvg.server.finished import write_finished
from mvg.server.index import StudyRow
from mvg.server.live_session import LiveSession
from mvg.server.session_files import numbers_of
from mvg.server.strokes import SliceEdit
from mvg.server.task_records import LabelEntry, TaskRecord
from mvg.server.workbench import Workbench


@dataclass(frozen=True)
class SubmittedLabel:
    """A label of a submitted map; idx: as the viewer states it, which counts segments that it left out."""

    name: str
    idx: int


def model_names(bench: Workbench) -> dict[str, TaskRecord]:
    """The segmentations by the names of their models; equal names get a part of the task's id."""
    models: dict[str, TaskRecord] = {}
    for record in bench.records.all():
        if record.has_labels:
            name = " ".join("".join(c if c.isalnum() or c in "-_ " else " " for c in record.name).split()) or record.id
            models[name if name not in models else f"{name} {record.id}"] = record
    return models


def submit(bench: Workbench, row: StudyRow, labels: LabelMap, names: Sequence[SubmittedLabel]) -> TaskRecord:
    """Accept labels of a study and make it an example. Raises MvgErrors for labels that do not fit.

    The task is the newest that has all names, else the newest; its missing labels are added. Without a task, one is
    made.
    """
    names = names or [SubmittedLabel(f"label {value}", value) for value in labels.values]
    record = _task_for(bench, [name.name for name in names])
    study = bench.library.study(row.id)
    numbers = _renumbered(on_grid_of(labels, study.volume), names, record)
    live = bench.sessions.open(record.id, row.id)

    def accept(live: LiveSession) -> None:
        axis = live.core.plane
        ras = live.grid.to_ras(numbers)
        live.correct([SliceEdit(axis, n, ras.take(n, axis)) for n in range(live.grid.shape[axis])], None)
        write_finished(bench.records.folder(record.id), row, live.finished_labels())
        live.mark("finish")

    bench.sessions.change(live.id, accept)
    refresh_dataset(bench, record)
    return accept_as_example(bench, bench.records.get(record.id), row)


def _task_for(bench: Workbench, names: Sequence[str]) -> TaskRecord:
    if not names:
        raise PromptError("a label map without labels", "at least one label", "draw a segment first")
    records = [record for record in bench.records.all() if record.has_labels][::-1]
    if not records:
        return bench.records.create("segmentation", "segmentation", [LabelEntry(name) for name in dict.fromkeys(names)])
    for record in records:
        if set(names) <= {label.name for label in record.labels}:
            return record
    extensible = next((one for one in records if one.base is None), None)
    if extensible is None:
        raise PromptError(f"the label '{names[0]}'", "a label of the task", "rename the segment, or make a new task")
    entries = [LabelEntry(label.name, label.value, label.color) for label in extensible.labels]
    known = {label.name for label in extensible.labels}
    entries += [LabelEntry(name) for name in dict.fromkeys(names) if name not in known]
    return bench.records.with_labels(extensible.id, entries, frozenset(extensible.values))


def _renumbered(labels: LabelMap, names: Sequence[SubmittedLabel], record: TaskRecord) -> NDArray[np.uint8]:
    """Class numbers of the task: the map counts 1, 2, ... in the order of the names; else its values are their idx."""
    count = len(names)
    in_order = set(labels.values) <= set(range(1, count + 1))
    values = range(1, count + 1) if in_order else [name.idx for name in names]
    lacking = sorted(set(labels.values) - set(values))
    if lacking:
        raise PromptError(f"the label {lacking[0]} without a name", "a name for every label", "name the segment")
    at = {label.name: number for number, label in enumerate(record.labels, 1)}
    result = np.zeros(labels.shape, np.uint8)
    for value, name in zip(values, names, strict=True):
        result[labels.voxels == value] = at[name.name]
    return result


def label_numbers(record: TaskRecord) -> dict[str, int]:
    """The labels of a task by name, as viewers receive them."""
    return {label.name: number for number, label in enumerate(record.labels, 1)}


def numbered(labels: LabelMap, record: TaskRecord) -> LabelMap:
    """Label values as class numbers."""
    numbers = numbers_of(labels.voxels, record.values)
    numbers.flags.writeable = False
    return LabelMap(numbers, labels.affine, labels.header)
