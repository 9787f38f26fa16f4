"""Files in requests."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import File
from starlette.datastructures import UploadFile

from mvg.server.refusals import RefusedError
from mvg.server.uploads import Upload

_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}

FilePart = Annotated[Any, File(json_schema_extra=_BINARY)]
FileParts = Annotated[list[Any], File(json_schema_extra={"items": _BINARY})]


def uploads_of(parts: Sequence[object]) -> list[Upload]:
    """The files of a request; RefusedError for parts that are texts."""
    uploads = []
    for part in parts:
        if not isinstance(part, UploadFile):
            raise RefusedError(422, "a text where a file was expected", "a file", "send it as a file with a name")
        uploads.append(Upload(part.filename or "file", part.file))
    return uploads
