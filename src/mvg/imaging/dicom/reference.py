"""The images that a volume was read from, which every DICOM object made from it refers to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import FileError
from mvg.imaging.dicom.frame_volumes import frame_volumes
from mvg.imaging.dicom.series import choose
from mvg.imaging.dicom.stack import by_height, position_of

RESEARCH_ONLY = "research use only"
"""In the series description of everything that mvg makes."""
MANUFACTURER = "mvg"

_MOST_LETTERS = 64  # of a description
_TYPE_2 = (  # must be there, and may be empty
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
    "AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "PositionReferenceIndicator",
)  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """The images of a volume, in the order of its slices.

    headers: without pixels, one per slice, or the only one of a multi-frame file; frames: the number of each slice in a
    multi-frame file, counted from 0; () for a series of single images.
    """

    headers: tuple[Any, ...]
    frames: tuple[int, ...] = ()

    @property
    def slice_count(self) -> int:
        """The number of slices."""
        return len(self.frames or self.headers)

    @property
    def first(self) -> Any:
        """The header of the first image."""
        return self.headers[0]

    def pictures(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """Voxels (X, Y, Z) of the volume as images (n, rows, cols[, C]) in the order of `headers`, or of its frames."""
        pictures = voxels.swapaxes(0, 1)
        pictures = np.moveaxis(pictures, 2, 0)
        return np.ascontiguousarray(pictures[np.argsort(self.frames)] if self.frames else pictures)


def reference_of(path: Path, series: str, shape: tuple[int, int, int]) -> Reference:
    """The images at a path that `mvg.read` reads as a volume of this shape. Elements that objects need are completed.

    Raises FileError for images that cannot be referred to: without a SOPInstanceUID of their own, several multi-frame
    files, or files that have changed since.
    """
    headers = [instance.header for instance in choose(path, series)]
    counts = [int(header.get("NumberOfFrames") or 1) for header in headers]
    if len(headers) > 1 and max(counts) > 1:
        raise _unfit(path, f"{len(headers)} multi-frame files", "one multi-frame file, or single images")
    if counts[0] > 1 and len(frame_volumes(headers[0])) > 1:
        raise _unfit(path, "one of several volumes of a multi-frame file", "a file with one volume")
    reference = _of_frames(headers[0], counts[0]) if counts[0] > 1 else _of_images(headers)
    size = (int(reference.first.Columns), int(reference.first.Rows), reference.slice_count)
    if size != shape:
        raise _unfit(path, f"images of shape {size}", f"those of the prediction, {shape}")
    uids = [str(header.get("SOPInstanceUID", "")) for header in reference.headers]
    if len(set(uids)) < len(uids) or not all(_is_uid(uid) for uid in uids):
        raise _unfit(path, "images without a valid SOPInstanceUID of their own", "one for each image")
    _complete(reference.headers)
    return reference


def description(what: str, reference: Reference) -> str:
    """A series description of at most 64 letters, which ends in the purpose."""
    source = str(reference.first.get("SeriesDescription") or "").strip()
    room = _MOST_LETTERS - len(f"mvg {what}, {RESEARCH_ONLY}") - 4
    of_source = f" of {source[:room].strip()}" if source and room > 3 else ""
    return f"mvg {what}{of_source}, {RESEARCH_ONLY}"


def series_number(reference: Reference, kind: int) -> int:
    """The number of a derived series: that of its source followed by two digits for the kind of object."""
    try:
        number = int(reference.first.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        number = 0
    return min(max(number, 0), 10**7) * 100 + kind


def _of_images(headers: Sequence[Any]) -> Reference:
    positions = [position for header in headers if (position := position_of(header, 0, 1)) is not None]
    if len(positions) < len(headers):
        return Reference(tuple(headers))
    return Reference(tuple(headers[group[0]] for group in by_height(positions)))


def _of_frames(header: Any, count: int) -> Reference:
    positions = [position for k in range(count) if (position := position_of(header, k, count)) is not None]
    if len(positions) < count:
        return Reference((header,), tuple(range(count)))
    return Reference((header,), tuple(group[0] for group in by_height(positions)))


def _is_uid(text: str) -> bool:
    from pydicom.uid import UID

    return UID(text).is_valid


def _unfit(path: Path, what: str, expected: str) -> FileError:
    return FileError(f"'{path}' holds {what}, to which DICOM cannot refer", expected, "write --format nifti instead")


def _complete(headers: Sequence[Any]) -> None:
    """Adds what anonymizers remove and derived objects must have; the same identifiers for all images."""
    from pydicom.uid import generate_uid

    sources = [str(headers[0].SOPInstanceUID)]
    uids = {
        name: generate_uid(entropy_srcs=[name, *sources])
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    }
    for header in headers:
        for name, uid in uids.items():
            if not _is_uid(str(header.get(name, ""))):
                setattr(header, name, uid)
        for name in _TYPE_2:
            if name not in header:
                setattr(header, name, None)
        if not header.get("Modality"):
            header.Modality = "OT"
        if not header.get("SliceThickness") and "ImagePositionPatient" in header:
            header.SliceThickness = 1
