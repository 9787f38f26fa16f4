"""Images of the protocol: studies under names that can be read and are unique."""

import re
from functools import lru_cache
from pathlib import Path

from mvg.imaging.files import write
from mvg.prediction.output_files import PICTURE_SUFFIXES
from mvg.server.finished import case_name
from mvg.server.index import StudyRow
from mvg.server.naming import study_name
from mvg.server.refusals import missing
from mvg.server.workbench import Workbench

_ENDING = re.compile(r"(?:^|_)([0-9a-f]{8})$")
_KEPT = (".nii", ".nii.gz", ".mha", ".nrrd", *PICTURE_SUFFIXES)  # formats that viewers read
_NIFTI = ".nii.gz"


def image_id(bench: Workbench, row: StudyRow) -> str:
    """The name of a study for viewers."""
    return f"study_{row.id[:8]}" if bench.settings.anonymous else case_name(row, study_name(bench, row))


def row_of(bench: Workbench, image: str) -> StudyRow:
    """The study with a name, or of the DICOM series with this UID. RefusedError where there is none."""
    match = _ENDING.search(image)
    row = bench.index.study_starting_with(match.group(1)) if match else None
    row = row or bench.index.study(image) or _of_series(bench, image)
    if row is None:
        raise missing("image", image, "load it from this server's list")
    return row


def image_suffix(row: StudyRow) -> str:
    """The suffix of the file that viewers receive."""
    return row.file.format if row.file.format in _KEPT else _NIFTI


def image_file(bench: Workbench, row: StudyRow, folder: Path) -> Path:
    """The file of a study for viewers; DICOM becomes NIfTI, written into `folder`."""
    study = bench.library.study(row.id)
    if row.file.format in _KEPT:
        return bench.library.path(row)
    path = folder / f"image{_NIFTI}"
    write(study.volume, path)
    return path


def _of_series(bench: Workbench, uid: str) -> StudyRow | None:
    if not re.fullmatch(r"[0-9.]{5,64}", uid):
        return None
    for row in bench.index.of_format("dicom"):
        if _series_uid(bench.library.path(row), row.file.modified) == uid:
            return row
    return None


@lru_cache(maxsize=20_000)
def _series_uid(folder: Path, modified: float) -> str:
    """The series of the first image in a folder; "" where there is none."""
    import pydicom

    for path in sorted(folder.iterdir()):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
            return str(header.get("SeriesInstanceUID", ""))
        except (OSError, EOFError, ValueError, pydicom.errors.InvalidDicomError):
            continue
    return ""
