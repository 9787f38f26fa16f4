"""Exports of a task: all its labels or pictures, a data set, measurements."""

import csv
import io
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from mvg.server.api.access import Bench, file_response
from mvg.server.exports import measurement_rows, write_dicom_zip, write_nnunet_zip, write_results_zip
from mvg.server.measurements import table_cell
from mvg.server.task_records import TaskRecord
from mvg.server.workbench import Workbench

router = APIRouter(prefix="/tasks/{task}/export", tags=["exports"])

_STATES = {"done": ("done",), "answered": ("done", "answered"), "all": ("done", "correcting", "answered")}
States = Literal["done", "answered", "all"]
DicomForm = Annotated[Literal["dicom-seg", "dicom-labelmap", "rtstruct"], Query(alias="format")]


@router.get("/labels.zip")
def results(bench: Bench, task: str, state: States = "done") -> Response:
    """Labels or pictures in each study's own format and on its grid."""
    return _archive(bench, bench.records.get(task), "labels", state, write_results_zip)


@router.get("/dicom.zip")
def dicom(bench: Bench, task: str, state: States = "done", form: DicomForm = "dicom-seg") -> Response:
    """Labels of the studies that are DICOM: segmentations, label maps or structure sets."""
    return _archive(bench, bench.records.get(task), "dicom", state, partial(write_dicom_zip, form))


@router.get("/nnunet.zip")
def nnunet(bench: Bench, task: str, state: States = "done") -> Response:
    """Images and labels as an nnU-Net raw data set."""
    return _archive(bench, bench.records.get(task), "nnunet", state, write_nnunet_zip)


@router.get("/measurements.csv")
def measurements(bench: Bench, task: str, state: States = "done") -> Response:
    """A table with one row for each label of each study."""
    record = bench.records.get(task)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in measurement_rows(bench, record, _STATES[state]):
        writer.writerow([table_cell(cell) for cell in row])
    return file_response(text.getvalue().encode("utf-8"), f"{record.name} measurements.csv", "text/csv; charset=utf-8")


Writer = Callable[[Workbench, TaskRecord, tuple[str, ...], Path], None]


def _archive(bench: Workbench, record: TaskRecord, name: str, state: States, write: Writer) -> Response:
    path = bench.workspace.root / f".export-{secrets.token_hex(8)}.zip"
    try:
        write(bench, record, _STATES[state], path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    remove = BackgroundTask(path.unlink, missing_ok=True)
    header = file_response(b"", f"{record.name} {name}.zip").headers["content-disposition"]
    headers = {"Content-Disposition": header}
    return FileResponse(path, media_type="application/zip", headers=headers, background=remove)
