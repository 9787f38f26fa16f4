"""Studies that were uploaded: kept under an id of ours; their names are for display only."""

import json
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mvg._atomic import atomic_file
from mvg.errors import FileError, MvgError
from mvg.imaging.files import known_suffixes, read, suffix_of
from mvg.server import intake
from mvg.server.scanning import StudyFile
from mvg.server.workspace import Workspace

MOST_BYTES = 2 * 2**30
MOST_FILES = 2000
_CHUNK = 2**20
_DETACHED = (".mhd", ".nhdr")
_DICOM = ("", ".dcm", ".dicom", ".ima")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Upload:
    """A file as it was sent: its name, which is never used as a path, and its content."""

    name: str
    content: BinaryIO


@dataclass(frozen=True)
class UploadResult:
    """The studies that were stored, and a line for each file that was not, with its name."""

    studies: tuple[StudyFile, ...]
    errors: tuple[tuple[str, str], ...]


def store_uploads(workspace: Workspace, uploads: Sequence[Upload]) -> UploadResult:
    """Keep uploaded files; each is a study, and DICOM files of one series are one together."""
    studies, errors = [], list[tuple[str, str]]()
    incoming = workspace.uploads / f".incoming-{secrets.token_hex(8)}"
    incoming.mkdir()
    try:
        series: dict[str, list[tuple[str, Path]]] = {}
        for number, upload in enumerate(uploads):
            name, path = display_name(upload.name), incoming
            try:
                path = store_file(upload, incoming / str(number))
                if suffix_of(path) in _DICOM:
                    series.setdefault(_series_of(path), []).append((name, path))
                else:
                    studies.append(_study(workspace, name, path))
            except MvgError as error:
                errors.append((name, str(error).replace(str(path), name)))
        for files in series.values():
            try:
                studies.append(_dicom_study(workspace, files, incoming))
            except MvgError as error:
                errors.append((files[0][0], str(error)))
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return UploadResult(tuple(studies), tuple(errors))


def store_file(upload: Upload, folder: Path) -> Path:
    """Write a file into a new folder as `image` with the suffix of its name; FileError for one that is refused."""
    suffix = suffix_of(upload.name)
    if suffix in _DETACHED:
        raise FileError(f"'{display_name(upload.name)}' keeps its voxels in another file", "one file", "store .mha")
    folder.mkdir(parents=True)
    path, size = folder / f"image{suffix}", 0
    with path.open("wb") as file:
        while chunk := upload.content.read(_CHUNK):
            size += len(chunk)
            if size > MOST_BYTES:
                raise FileError(
                    f"'{display_name(upload.name)}' is larger than 2 GiB", "at most 2 GiB", "put it into the folder"
                )
            file.write(chunk)
    if not suffix and not _is_dicom(path):
        raise FileError(
            f"'{display_name(upload.name)}' has no known suffix", "a medical image or a picture", "convert it"
        )
    return intake.check_file(path, folder.resolve())


def uploaded_studies(workspace: Workspace) -> list[StudyFile]:
    """All uploaded studies."""
    studies = []
    for folder in sorted(workspace.uploads.iterdir()):
        description = folder / "upload.json"
        if description.is_file():
            facts = json.loads(description.read_text(encoding="utf-8"))
            path = folder / facts["file"]
            if path.exists():
                studies.append(StudyFile(
                    f"{folder.name}/{facts['file']}", facts["format"], facts["size"], path.stat().st_mtime,
                    origin="upload",
                ))  # fmt: skip
    return studies


def upload_name(workspace: Workspace, study: StudyFile) -> str:
    """The name under which a study was uploaded."""
    description = workspace.uploads / study.path.split("/")[0] / "upload.json"
    try:
        return str(json.loads(description.read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError):
        return study.path


def display_name(name: str) -> str:
    """The last part of a file's name, without control characters, at most 120 characters."""
    return _CONTROL.sub("", re.split(r"[/\\]", name)[-1])[-120:] or "file"


def _study(workspace: Workspace, name: str, path: Path) -> StudyFile:
    """Check that a file can be read, and move it to a folder of its own."""
    read(path)
    return _placed(workspace, name, path, suffix_of(path))


def _dicom_study(workspace: Workspace, files: list[tuple[str, Path]], incoming: Path) -> StudyFile:
    folder = incoming / f"series-{secrets.token_hex(4)}" / "series"
    folder.mkdir(parents=True)
    for number, (_, path) in enumerate(files):
        path.rename(folder / f"{number:06d}.dcm")
    read(folder)
    name = files[0][0] if len(files) == 1 else f"{files[0][0]} and {len(files) - 1} more"
    return _placed(workspace, name, folder, "dicom")


def _placed(workspace: Workspace, name: str, path: Path, kind: str) -> StudyFile:
    folder = workspace.uploads / f"u-{secrets.token_hex(6)}"
    folder.mkdir()
    target = folder / path.name
    path.rename(target)
    files = target.rglob("*") if target.is_dir() else [target]
    size = sum(file.stat().st_size for file in files)
    with atomic_file(folder / "upload.json") as temporary:
        facts = {"name": name, "file": target.name, "format": kind, "size": size}
        temporary.write_text(json.dumps(facts), encoding="utf-8")
    return StudyFile(f"{folder.name}/{target.name}", kind, size, target.stat().st_mtime, origin="upload")


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _series_of(path: Path) -> str:
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=["SeriesInstanceUID"])
        return str(header.get("SeriesInstanceUID", path.parent.name))
    except (OSError, EOFError, ValueError, AttributeError):
        return path.parent.name


def readable_suffixes() -> list[str]:
    """The suffixes of files that may be uploaded."""
    return [suffix for suffix in known_suffixes() if suffix not in _DETACHED]
