"""Removes an uploaded study with all that was made of it; files of the served folder are never touched."""

from mvg.server.examples import refresh_dataset
from mvg.server.finished import finished_path
from mvg.server.index import StudyRow
from mvg.server.refusals import conflict
from mvg.server.task_records import TaskRecord
from mvg.server.workbench import Workbench


def remove_upload(bench: Workbench, row: StudyRow) -> None:
    """Move an uploaded study, its corrections, predictions and finished labels to the trash.

    RefusedError for a study of the folder, an example of a task, and one that is being predicted.
    """
    if row.file.origin != "upload":
        raise conflict("a study of the folder", "an uploaded study", "remove its file from the folder")
    records = bench.records.all()
    for record in records:
        if any(row.id in (example.study, example.target) for example in record.examples):
            raise conflict(
                f"a study that is an example of '{record.name}'", "a study that no task needs",
                "remove it from the task's examples first",
            )  # fmt: skip
    bench.sessions.release_study(row.id)
    bench.workspace.discard(bench.workspace.uploads / row.file.path.split("/")[0])
    bench.library.forget(row.id)
    for record in records:
        _discard_work(bench, record, row)
    bench.channel.send("studies", {"scanning": False})


def _discard_work(bench: Workbench, record: TaskRecord, row: StudyRow) -> None:
    finished = finished_path(bench.records.folder(record.id), row)
    for path in (bench.workspace.session(record.id, row.id), finished):
        if path.exists():
            bench.workspace.discard(path)
    refresh_dataset(bench, record)
