"""Predictions as viewers receive them."""

import json
import secrets
import tempfile
from pathlib import Path
from typing import Any

from fastapi import Response

from mvg.imaging.files import write
from mvg.server.index import StudyRow
from mvg.server.monailabel.labels import numbered
from mvg.server.refusals import conflict
from mvg.server.task_records import TaskRecord
from mvg.server.workbench import Workbench


def infer_labels(bench: Workbench, record: TaskRecord, row: StudyRow, suffix: str) -> bytes:
    """The labels that a task predicts for a study, as a file; corrections of the study stay.

    Raises RefusedError for a task that cannot predict yet, and MvgErrors.
    """
    live = bench.sessions.open(record.id, row.id)
    if not live.can_predict:
        raise conflict("a task without examples", "at least one submitted label", "label a study and submit it first")
    live.predict(lambda name, data: None, lambda: False)
    with tempfile.TemporaryDirectory(prefix="mvg-") as folder:
        path = Path(folder) / f"labels{suffix}"
        write(numbered(live.core.labels(), record), path)
        return path.read_bytes()


def multipart(params: dict[str, Any], name: str, content: bytes) -> Response:
    """A response of two parts: `params` as JSON, and `image`, a file with a name."""
    boundary = f"mvg-{secrets.token_hex(16)}"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="params"\r\nContent-Type: application/json\r\n\r\n'
        f"{json.dumps(params)}\r\n"
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return Response(body, media_type=f"multipart/form-data; boundary={boundary}")
