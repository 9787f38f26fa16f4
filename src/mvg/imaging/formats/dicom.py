"""DICOM: reads one series of a folder, a zip archive or a DICOMDIR, or one file; CT is in HU, PET in SUV.

Enhanced multi-frame files and series of single images are read alike, segmentations (SEG) as label maps.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import FileError, MvgError, first_line
from mvg.imaging.dicom.files import ARCHIVE, DicomFile, warn
from mvg.imaging.dicom.files import SUFFIXES as FILE_SUFFIXES
from mvg.imaging.dicom.frame_volumes import frame_volumes
from mvg.imaging.dicom.image_kinds import check_kinds, note_on_order, notes_on_kinds
from mvg.imaging.dicom.labels import labels_of_segmentation
from mvg.imaging.dicom.pixels import frames_of, rescale_faults
from mvg.imaging.dicom.series import choose, is_segmentation, volume_number
from mvg.imaging.dicom.stack import (
    SlicePosition,
    affine_of_slices,
    by_height,
    check_parallel,
    pixel_spacing,
    position_of,
    several_of_one_position,
    spacing_fault,
)
from mvg.imaging.dicom.suv import suv_factor
from mvg.imaging.dicom.time_points import volumes_of_file
from mvg.imaging.formats import Stored
from mvg.imaging.volume import Header, LabelMap, Volume

SUFFIXES = (*FILE_SUFFIXES, ARCHIVE)


@dataclass(frozen=True)
class _Frame:
    """A decoded frame, its position, and the elements of its image other than the pixels."""

    pixels: NDArray[Any]
    position: SlicePosition | None
    header: Any


def load(path: Path) -> Stored:
    """Reads the only series, or the largest one (slices sorted by position), or the image in a file."""
    return load_series(path, "")


def load_series(path: Path, series: str) -> Stored:
    """Reads the series with this UID, or the one that `mvg.imaging.dicom.series.choose` chooses.

    The logger "mvg" is told what was left out or mended. Raises FileError and GeometryError for what is no volume.
    """
    instances = choose(path, series, warn)
    if is_segmentation(instances[0].header):
        return _labels_of(instances[0].file, path)
    check_kinds(path, [instance.header for instance in instances])
    if path.is_file() and len(instances) == 1:
        _note_siblings(path, instances[0].header)
    frames = [frame for instance in instances for frame in _frames(instance.file)]
    number, of_file = volume_number(series), volumes_of_file(instances)
    if number is not None and of_file:
        frames = [frames[k] for k in of_file[number]]
    _note_faults(path, [instance.header for instance in instances])
    if len({frame.pixels.shape for frame in frames}) > 1:
        raise FileError(f"'{path}' holds slices of different sizes", "one series", "separate them")
    positions = [frame.position for frame in frames if frame.position is not None]
    if positions and len(positions) < len(frames):
        without = next(one.file.name for one in instances if "ImagePositionPatient" not in one.header)
        raise FileError(
            f"'{path}' holds {len(frames) - len(positions)} images without a position in the patient ({without}, ...)",
            "ImagePositionPatient and ImageOrientationPatient in each",
            "take them away",
        )
    if not positions:
        return _without_position(path, [frame.pixels for frame in frames], frames[0].header)
    check_parallel(positions, path)
    ordered = [_one_of(path, [frames[k] for k in group]) for group in by_height(positions)]
    if len(ordered) < len(frames):
        warn(f"'{path}' holds {len(frames) - len(ordered)} copies of images, which are read once")
    if note := note_on_order([frame.header for frame in ordered]):
        warn(f"'{path}': {note}")
    affine = affine_of_slices([frame.position for frame in ordered if frame.position is not None], path)
    color = ordered[0].pixels.ndim == 3
    voxels = np.stack([frame.pixels for frame in ordered], axis=2).swapaxes(0, 1)
    stated = "\n".join(str(frames[0].header.get(name) or "").strip() for name in ("Modality", "PatientID"))
    header = Header("dicom", stated.encode("utf-8", "replace"), affine.tobytes())
    return Stored(_in_suv(voxels, path, frames), affine, header, "color" if color else "time")


def save(volume: Volume | LabelMap, path: Path) -> None:
    """Raises FileError, because a volume alone does not say which examination it belongs to."""
    raise FileError(f"'{path}' to be written", "a format that can be written", "choose .nii.gz instead of DICOM")


def _labels_of(file: DicomFile, path: Path) -> Stored:
    try:
        return labels_of_segmentation(file.dataset(), path, warn)
    except MvgError:
        raise
    except Exception as error:  # decoders raise errors of many kinds
        raise _unreadable(file, error) from error


def _unreadable(file: DicomFile, error: Exception) -> FileError:
    return FileError(
        f"'{file.path}' cannot be read ({first_line(error)})",
        "a complete, undamaged DICOM image",
        "copy, download or convert it again",
    )


def _frames(file: DicomFile) -> Iterator[_Frame]:
    """The frames of a file; its compressed pixels are not kept."""
    dataset = file.dataset()
    if "PixelData" not in dataset:
        raise FileError(f"'{file.name}' holds no image", "a DICOM image", "choose a file with pixel data")
    try:
        pixels = frames_of(dataset)
    except MvgError:
        raise
    except Exception as error:  # decoders raise errors of many kinds
        raise _unreadable(file, error) from error
    del dataset.PixelData
    for number, frame in enumerate(pixels):
        yield _Frame(frame, position_of(dataset, number, len(pixels)), dataset)


def _one_of(path: Path, frames: Sequence[_Frame]) -> _Frame:
    """The frame of a position; several are copies of one, or FileError."""
    contents = {hashlib.sha256(frame.pixels.tobytes()).digest() for frame in frames}
    if len(contents) > 1:
        headers = [frame.header for frame in frames]
        is_one_file = len({id(header) for header in headers}) == 1
        raise several_of_one_position(path, headers, is_one_file and len(frame_volumes(headers[0])) > 1)
    return frames[0]


def _in_suv(voxels: NDArray[Any], path: Path, frames: Sequence[_Frame]) -> NDArray[Any]:
    factor, note = suv_factor([frame.header for frame in frames])
    if note:
        warn(f"'{path}': {note}")
    return voxels if factor is None else (voxels * factor).astype(np.float32)


def _note_faults(path: Path, headers: Sequence[Any]) -> None:
    faults = dict.fromkeys(fault for header in headers for fault in rescale_faults(header))
    faults |= dict.fromkeys(notes_on_kinds(headers))
    faults |= dict.fromkeys(filter(None, map(spacing_fault, headers)))
    if faults:
        warn(f"'{path}': {'; '.join(faults)}")


def _note_siblings(path: Path, header: Any) -> None:
    """Says once per series that a file is one slice of it, where others lie in the same folder."""
    uid, folder = str(header.get("SeriesInstanceUID", "")), path.resolve().parent
    if "ImagePositionPatient" in header and _series_in(folder).pop(uid, 0) > 1:
        warn(f"'{path}' is one slice of a series, and only this slice is read; name its folder to read all")


@cache
def _series_in(folder: Path) -> Counter[str]:
    """How many files of each series lie in a folder; a series is removed when it was reported."""
    import pydicom

    counts = Counter[str]()
    for path in folder.iterdir():
        with suppress(Exception):  # whatever cannot be read is no slice of a series
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
            counts[str(header.get("SeriesInstanceUID", ""))] += 1
    counts.pop("", None)
    return counts


def _without_position(path: Path, slices: list[NDArray[Any]], dataset: Any) -> Stored:
    """Images without a position in the patient (X-ray, ultrasound), read like a PNG but with their pixel spacing."""
    row_mm, col_mm = pixel_spacing(dataset)
    affine = np.diag([-col_mm, -row_mm, 1.0, 1.0])
    if len(slices) == 1:
        return Stored(slices[0].swapaxes(0, 1)[:, :, None], affine, None, "color" if slices[0].ndim == 3 else "time")
    if dataset.get("NumberOfFrames") in (None, 1):
        raise FileError(
            f"{len(slices)} images of '{path}' do not say where they lie (ImagePositionPatient)",
            "one image, or slices with a position",
            "predict each file alone, or convert the series with its positions",
        )
    return Stored(np.stack(slices, axis=-1).swapaxes(0, 1)[:, :, None], affine)  # the frames of a film
