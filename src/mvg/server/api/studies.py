"""Studies: lists, RAS copies, thumbnails, uploads."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from numpy.typing import NDArray

from mvg.server import index, uploads
from mvg.server.api.access import Bench, nifti_response, study_json
from mvg.server.api.parts import FileParts, uploads_of
from mvg.server.index import StudyRow
from mvg.server.library import Study, display_window
from mvg.server.nifti_bytes import array_bytes, volume_bytes
from mvg.server.patient_headers import header_entries
from mvg.server.refusals import RefusedError
from mvg.server.removal import remove_upload
from mvg.server.session_files import SessionFiles, numbers_of
from mvg.server.task_records import TaskRecord
from mvg.server.uploads import store_uploads
from mvg.server.workbench import Workbench

router = APIRouter(prefix="/studies", tags=["studies"])


def _query(
    task: str | None = None,
    state: Literal["new", "answered", "correcting", "done", "example"] | None = None,
    search: Annotated[str, Query(max_length=200)] = "",
    sort: Literal["name", "state", "quality", "modified"] = "name",
    order: Literal["asc", "desc"] = "asc",
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> index.Query:
    return index.Query(task, state, (), search, sort, order, offset, limit)


@router.get("")
def studies(bench: Bench, query: Annotated[index.Query, Depends(_query)]) -> dict[str, Any]:
    """One page of the list."""
    if query.task is not None:
        query = replace(query, examples=bench.records.get(query.task).example_studies)
    total, counts = bench.index.counts(query)
    rows = [study_json(bench, row, query.task) for row in bench.index.studies(query)]
    return {
        "total": total, "offset": query.offset, "limit": query.limit, "scanning": bench.library.scanning,
        "counts": counts, "studies": rows,
    }  # fmt: skip


@router.post("", status_code=201)
def upload(bench: Bench, files: FileParts) -> dict[str, Any]:
    """Add studies; DICOM files of one series become one."""
    if len(files) > uploads.MOST_FILES:
        raise RefusedError(413, f"{len(files)} files", f"at most {uploads.MOST_FILES}", "send fewer at once")
    result = store_uploads(bench.workspace, uploads_of(files))
    for study in result.studies:
        bench.index.add_study(study)
    rows = [study_json(bench, bench.library.row(study.id)) for study in result.studies]
    errors = [{"name": name, "error": error} for name, error in result.errors]
    if not rows:
        raise RefusedError(422, errors[0]["error"].rstrip("."), "medical images or pictures", "send others")
    bench.channel.send("studies", {"scanning": False})
    return {"studies": rows, "errors": errors}


@router.post("/rescan", status_code=202)
def rescan(bench: Bench) -> dict[str, Any]:
    """Look for studies again."""
    bench.library.rescan_in_background()
    return {"scanning": True}


@router.get("/{study}")
def one(bench: Bench, study: str, task: str | None = None) -> dict[str, Any]:
    """A study with its geometry, its range and the label values beside it."""
    read_study = bench.library.study(study)
    volume, window = read_study.volume, display_window(read_study.volume)
    row: StudyRow = bench.library.row(study, task)
    values = bench.library.labels_beside(read_study).values if row.file.labels is not None else ()
    return {
        **study_json(bench, row, task), "affine": read_study.grid.affine.tolist(),
        "orientation": "".join(volume.axcodes), "window": {"low": window.low, "high": window.high},
        "range": [float(volume.voxels.min()), float(volume.voxels.max())], "label_values": list(values),
    }  # fmt: skip


@router.delete("/{study}", status_code=204)
def remove(bench: Bench, study: str) -> Response:
    """Remove an uploaded study and what was made of it; it goes to the trash."""
    remove_upload(bench, bench.library.row(study))
    return Response(status_code=204)


@router.get("/{study}/volume.nii")
def volume(bench: Bench, study: str, request: Request) -> Response:
    """A RAS copy as NIfTI."""
    row = bench.library.row(study)
    tag = f'"{row.id}-{row.file.size}-{row.file.modified}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    read_study = bench.library.study(study)
    content = volume_bytes(read_study.volume, read_study.grid)
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.get("/{study}/labels.nii")
def labels(bench: Bench, study: str, task: str) -> Response:
    """The labels beside a study as class numbers of a task."""
    read_study = bench.library.study(study)
    numbers = numbers_of(bench.library.labels_beside(read_study).voxels, bench.records.get(task).values)
    return nifti_response(array_bytes(read_study.grid.to_ras(numbers), read_study.grid))


@router.get("/{study}/thumbnail.png")
def thumbnail(bench: Bench, study: str, task: str | None = None) -> Response:
    """A small picture; with a task, with its labels."""
    draw = None
    if task is not None and bench.records.get(task).has_labels:
        draw = partial(_newest_labels, bench, bench.records.get(task))
    content = bench.library.thumbnail(study, draw)
    return Response(content, media_type="image/png", headers={"Cache-Control": "private, no-cache"})


@router.get("/{study}/header")
def header(bench: Bench, study: str) -> dict[str, Any]:
    """What the file says besides its voxels, which may name the patient."""
    if bench.settings.anonymous:
        raise RefusedError(403, "a header of an anonymous server", "a server without --anonymous", "start it again")
    row = bench.library.row(study)
    bench.library.study(study)
    return {"entries": header_entries(bench.library.path(row))}


def _newest_labels(bench: Workbench, record: TaskRecord, study: Study) -> NDArray[np.uint8] | None:
    files = SessionFiles(bench.workspace.session(record.id, study.id))
    return files.read_numbers(record.values, study.volume.shape)
