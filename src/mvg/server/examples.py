"""Examples of a task: from studies with labels beside them, from two studies, from uploads, from accepted labels."""

import secrets
from collections.abc import Sequence
from dataclasses import replace

from mvg.errors import PromptError
from mvg.imaging.files import read_labels
from mvg.imaging.volume import LabelMap
from mvg.server.finished import write_dataset
from mvg.server.index import StudyRow
from mvg.server.refusals import conflict
from mvg.server.session_files import SessionFiles
from mvg.server.task_records import Example, LabelEntry, TaskRecord
from mvg.server.uploads import Upload, display_name, store_file
from mvg.server.workbench import Workbench


def example_of_study(bench: Workbench, record: TaskRecord, study: str, target: str | None) -> Example:
    """A study with the labels or the picture beside it, or with another study as target. Raises RefusedError."""
    row = bench.library.row(study)
    if any(example.study == study for example in record.examples):
        raise conflict("a study that is an example already", "another study", "choose another one")
    if target is not None:
        if record.has_labels:
            raise PromptError("a study as target of a segmentation", "labels beside the study", "choose another kind")
        bench.library.row(target)
    elif row.file.labels is None:
        raise PromptError(
            f"'{row.file.path}' has no labels beside it",
            "a label file with its name",
            "label it in the bench, or upload",
        )
    return Example(_example_id(), row.file.path, "study", study, target or "labels")


def example_of_finished(bench: Workbench, record: TaskRecord, row: StudyRow) -> Example:
    """A study with its accepted labels."""
    return Example(_example_id(), row.file.path, "finished", row.id, "finished")


def example_of_uploads(bench: Workbench, record: TaskRecord, image: Upload, target: Upload) -> Example:
    """Two files that were uploaded."""
    example = Example(_example_id(), display_name(image.name), "upload", None, "upload")
    folder = bench.records.folder(record.id) / "examples" / example.id
    try:
        store_file(image, folder / "a")
        store_file(target, folder / "b")
        bench.models.pair(record, example)
    except BaseException:
        if folder.exists():
            bench.workspace.discard(folder)
        raise
    return example


def add_labels(bench: Workbench, record: TaskRecord, examples: Sequence[Example]) -> TaskRecord:
    """The task with these examples, and with the label values in them that it lacked."""
    if record.has_labels:
        values: set[int] = set()
        for example in examples:
            _, labels = bench.models.pair(record, example)
            assert isinstance(labels, LabelMap), "the task predicts labels"
            values |= set(labels.values)
        lacking = sorted(values - set(record.values))
        if lacking:
            entries = [LabelEntry(label.name, label.value, label.color) for label in record.labels]
            entries += [LabelEntry(f"label {value}", value) for value in lacking]
            record = bench.records.with_labels(record.id, entries, frozenset())
    return bench.records.save(replace(record, examples=(*record.examples, *examples)))


def accept_as_example(bench: Workbench, record: TaskRecord, row: StudyRow) -> TaskRecord:
    """The task with the accepted labels of a study as example, instead of another example of that study."""
    others = tuple(example for example in record.examples if example.study != row.id)
    return bench.records.save(replace(record, examples=(*others, example_of_finished(bench, record, row))))


def values_in_use(bench: Workbench, record: TaskRecord) -> frozenset[int]:
    """The label values of corrections, finished labels and examples, which the task must keep."""
    values: set[int] = set()
    folder = bench.records.folder(record.id)
    for session in folder.glob("sessions/*"):
        for entry in SessionFiles(session).journal.entries():
            values |= set(entry.get("values", ()))
    for path in folder.glob("labelsTr/*.nii.gz"):
        values |= set(read_labels(path).values)
    if record.has_labels:
        for example in record.examples:
            _, labels = bench.models.pair(record, example)
            values |= set(labels.values) if isinstance(labels, LabelMap) else set()
    return frozenset(values)


def refresh_dataset(bench: Workbench, record: TaskRecord) -> None:
    """Write the task's dataset.json again, with all finished labels."""
    folder = bench.records.folder(record.id)
    rows = [bench.index.study(path.name) for path in sorted(folder.glob("sessions/*"))]
    write_dataset(folder, record, [(row, bench.library.path(row)) for row in rows if row is not None])


def spread(rows: Sequence[StudyRow], count: int) -> list[StudyRow]:
    """At most `count` rows, spread evenly."""
    if len(rows) <= count:
        return list(rows)
    return [rows[round(number * (len(rows) - 1) / (count - 1))] for number in range(count)]


def _example_id() -> str:
    return f"e-{secrets.token_hex(4)}"
