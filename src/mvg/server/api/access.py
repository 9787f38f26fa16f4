"""How routes reach the workbench, and how they state studies and tasks."""

from typing import Annotated, Any

from fastapi import Depends, Request, Response

from mvg.server.index import StudyRow
from mvg.server.library import study_facts
from mvg.server.naming import study_name
from mvg.server.task_records import TaskRecord
from mvg.server.workbench import Workbench


def workbench_of(request: Request) -> Workbench:
    """The workbench that the application serves."""
    workbench: Workbench = request.app.state.workbench
    return workbench


Bench = Annotated[Workbench, Depends(workbench_of)]


def study_json(workbench: Workbench, row: StudyRow, task: str | None = None) -> dict[str, Any]:
    """A study as lists state it."""
    facts = study_facts(row)
    shape = facts["shape"]
    kind = "picture" if shape is not None and 1 in shape else "volume"
    is_example = task is not None and row.id in workbench.records.get(task).example_studies
    state = "example" if is_example and row.work.state == "new" else row.work.state
    return {
        "id": row.id, "name": study_name(workbench, row), "kind": kind, "format": row.file.format,
        "origin": row.file.origin, **facts, "has_labels": row.file.labels is not None, "error": row.file.error,
        "modified": row.file.modified, "state": state, "quality": row.work.quality,
        "strokes": row.work.strokes, "updated": row.work.updated,
        "is_example": is_example,
    }  # fmt: skip


def task_json(workbench: Workbench, record: TaskRecord) -> dict[str, Any]:
    """A task as the interface states it."""
    return {
        "id": record.id, "name": record.name, "kind": record.kind,
        "labels": [{"value": one.value, "name": one.name, "color": one.color} for one in record.labels],
        "examples": [
            {"id": one.id, "name": one.name, "origin": one.origin, "study": one.study, "target": one.target}
            for one in record.examples
        ],
        "base": record.base, "created": record.created, "ready": record.ready,
        "message": workbench.models.message(record),
    }  # fmt: skip


def file_response(content: bytes, name: str, kind: str = "application/octet-stream") -> Response:
    """A file to be kept under a name."""
    safe = "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in name)
    ascii_name = safe.encode("ascii", "replace").decode().replace("?", "_")
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{ascii_name}"'})


def nifti_response(content: bytes) -> Response:
    """A NIfTI file for the page, which is not kept by the browser."""
    return Response(content, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})
