"""Tasks: names, kinds, labels, examples, task files."""

import secrets
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Form, Response

from mvg.prediction import task_file
from mvg.server.api.access import Bench, file_response, task_json
from mvg.server.api.bodies import ExampleBody, TaskBody, TaskChanges
from mvg.server.api.parts import FilePart, uploads_of
from mvg.server.examples import add_labels, example_of_study, example_of_uploads, spread, values_in_use
from mvg.server.refusals import conflict, missing
from mvg.server.task_records import LabelEntry, TaskRecord, checked_name
from mvg.server.uploads import display_name
from mvg.server.workbench import Workbench

router = APIRouter(prefix="/tasks", tags=["tasks"])

_MOST_BESIDE = 32


@router.get("")
def tasks(bench: Bench) -> dict[str, Any]:
    """All tasks, the oldest first."""
    return {"tasks": [task_json(bench, record) for record in bench.records.all()]}


@router.post("", status_code=201)
def create(bench: Bench, body: TaskBody) -> dict[str, Any]:
    """A new task."""
    return _changed(bench, bench.records.create(body.name, body.kind, [label.entry() for label in body.labels]))


@router.post("/import", status_code=201)
def import_task(bench: Bench, file: FilePart, name: Annotated[str | None, Form()] = None) -> dict[str, Any]:
    """A task from a `.mvgtask` file."""
    (upload,) = uploads_of([file])
    base = display_name(upload.name)
    title = checked_name(name or base.removesuffix(task_file.SUFFIX))
    incoming = bench.workspace.root / "uploads" / f".incoming-{secrets.token_hex(8)}.mvgtask"
    try:
        with incoming.open("wb") as target:
            while chunk := upload.content.read(2**20):
                target.write(chunk)
        prompted = bench.predictor.load_task(incoming)
        labels = [LabelEntry(f"label {value}", value) for value in prompted.prompts.values]
        record = bench.records.create(title, prompted.spec.kind, labels, base)
        incoming.rename(bench.records.folder(record.id) / "imported.mvgtask")
    finally:
        incoming.unlink(missing_ok=True)
    return _changed(bench, record)


@router.get("/{task}")
def one(bench: Bench, task: str) -> dict[str, Any]:
    """A task."""
    return task_json(bench, bench.records.get(task))


@router.patch("/{task}")
def change(bench: Bench, task: str, body: TaskChanges) -> dict[str, Any]:
    """Rename a task, or change its labels."""
    record = bench.records.get(task)
    if body.name is not None:
        record = bench.records.save(replace(record, name=checked_name(body.name)))
    if body.labels is not None:
        used = values_in_use(bench, record)
        record = bench.records.with_labels(task, [label.entry() for label in body.labels], used)
    return _changed(bench, record)


@router.delete("/{task}", status_code=204)
def remove(bench: Bench, task: str) -> Response:
    """Move a task to the trash."""
    bench.records.get(task)
    bench.batches.stop_task(task)
    bench.sessions.release_task(task)
    bench.records.remove(task)
    bench.index.remove_task(task)
    bench.channel.send("task", {"id": task, "removed": True})
    return Response(status_code=204)


@router.post("/{task}/examples", status_code=201)
def add_example(bench: Bench, task: str, body: ExampleBody) -> dict[str, Any]:
    """Make a study an example."""
    record = bench.records.get(task)
    example = example_of_study(bench, record, body.study, body.target)
    return _changed(bench, add_labels(bench, record, [example]))


@router.post("/{task}/examples/beside", status_code=201)
def add_examples_beside(bench: Bench, task: str) -> dict[str, Any]:
    """Make studies examples that have labels beside them, at most 32, spread evenly."""
    record = bench.records.get(task)
    known = {example.study for example in record.examples}
    rows = [row for row in bench.library.with_labels() if row.id not in known]
    if not rows:
        raise conflict("no further study with labels beside it", "label files in the folder", "label a study first")
    examples = [example_of_study(bench, record, row.id, None) for row in spread(rows, _MOST_BESIDE)]
    return _changed(bench, add_labels(bench, record, examples))


@router.post("/{task}/examples/upload", status_code=201)
def upload_example(bench: Bench, task: str, image: FilePart, target: FilePart) -> dict[str, Any]:
    """An example from two files."""
    record = bench.records.get(task)
    example = example_of_uploads(bench, record, *uploads_of([image, target]))
    return _changed(bench, add_labels(bench, record, [example]))


@router.delete("/{task}/examples/{example}")
def remove_example(bench: Bench, task: str, example: str) -> dict[str, Any]:
    """Remove an example; finished labels stay as files."""
    record = bench.records.get(task)
    kept = tuple(one for one in record.examples if one.id != example)
    if len(kept) == len(record.examples):
        raise missing("example", example)
    return _changed(bench, bench.records.save(replace(record, examples=kept)))


@router.get("/{task}/export/task.mvgtask")
def export_task(bench: Bench, task: str) -> Response:
    """The task as a file."""
    record = bench.records.get(task)
    path = bench.models.save(task)
    return file_response(path.read_bytes(), f"{record.name}{task_file.SUFFIX}")


def _changed(bench: Workbench, record: TaskRecord) -> dict[str, Any]:
    facts = task_json(bench, record)
    bench.channel.send("task", facts)
    return facts
