"""DICOM: reads a folder of one series, a single file, or an enhanced multi-frame file; CT is in HU."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import FileError, GeometryError
from mvg.imaging.formats import Stored
from mvg.imaging.formats.itk import dicom_pixels
from mvg.imaging.volume import LabelMap, Volume

SUFFIXES = (".dcm", ".dicom", ".ima")

_LPS = np.array([-1.0, -1.0, 1.0])
_GAP = 0.1  # share of the slice distance by which a single gap may differ
_DIRECTION = 1e-3  # by how much the directions of slices of one series may differ
_JPEG = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.(5\d|70|8[01])$")  # transfer syntaxes of JPEG and JPEG-LS
_END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True)
class _SlicePosition:
    """The position of a slice in LPS mm: its first pixel, the steps to the next column and row, its unit normal."""

    origin: NDArray[np.float64]
    to_column: NDArray[np.float64]
    to_row: NDArray[np.float64]
    normal: NDArray[np.float64]
    thickness: float


def load(path: Path) -> Stored:
    """Reads the only series in a folder (slices sorted by position), or the image in a file."""
    datasets = _datasets_of_series(path) if path.is_dir() else [_dataset(path)]
    slices: list[NDArray[Any]] = []
    positions: list[_SlicePosition | None] = []
    for dataset in datasets:
        frames = _frames(dataset)
        slices += frames
        positions += [_position_of(dataset, number, len(frames)) for number in range(len(frames))]
    if len({frame.shape for frame in slices}) > 1:
        raise FileError(f"'{path}' holds slices of different sizes", "one series", "separate them")
    color = slices[0].ndim == 3
    with_position = [position for position in positions if position is not None]
    if len(with_position) < len(slices):
        return _without_position(slices, datasets[0])
    affine, order = _geometry(with_position, path)
    voxels = np.stack([slices[k] for k in order], axis=2).swapaxes(0, 1)
    return Stored(voxels, affine, None, "color" if color else "time")


def save(volume: Volume | LabelMap, path: Path) -> None:
    """Raises FileError, because DICOM can only be read."""
    raise FileError(f"'{path}' to be written", "a format that can be written", "choose .nii.gz instead of DICOM")


def _dataset(path: Path) -> Any:
    import pydicom

    dataset: Any = pydicom.dcmread(path, force=path.suffix.lower() in SUFFIXES)
    if "Rows" not in dataset or "PixelData" not in dataset:
        raise FileError(f"'{path}' holds no image", "a DICOM image", "choose a file with pixel data")
    if "TransferSyntaxUID" not in dataset.file_meta:  # files without a preamble
        implicit, little = dataset.original_encoding
        uid = pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = uid if little else pydicom.uid.ExplicitVRBigEndian
    return dataset


def _datasets_of_series(folder: Path) -> list[Any]:
    """All images of the only series in a folder, or in its subfolders when the folder itself holds none."""
    images = _headers(file for file in folder.iterdir() if file.is_file())
    images = images or _headers(file for file in folder.rglob("*") if file.is_file())
    if not images:
        raise FileError(f"no DICOM image in the folder '{folder}'", "the files of one series", "check the path")
    names = {
        str(header.get("SeriesInstanceUID", "")): header.get("SeriesDescription", "") for header in images.values()
    }
    if len(names) > 1:
        listed = ", ".join(f"'{description}' ...{uid[-8:]}" for uid, description in list(names.items())[:5])
        raise FileError(
            f"'{folder}' holds {len(names)} series ({listed})", "one series", "give each series its own folder"
        )
    return [_dataset(file) for file in images]


def _headers(files: Iterable[Path]) -> dict[Path, Any]:
    """The headers of those files that are DICOM images."""
    import pydicom

    headers = {}
    for file in sorted(files):
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, force=file.suffix.lower() in SUFFIXES)
        except (pydicom.errors.InvalidDicomError, EOFError):
            continue
        if "Rows" in header:
            headers[file] = header
    return headers


def _frames(dataset: Any) -> list[NDArray[Any]]:
    """Every frame (rows, cols[, 3]) of an image, in HU or the units of the file."""
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    count = int(dataset.get("NumberOfFrames") or 1)
    jpeg = _JPEG.match(str(dataset.file_meta.TransferSyntaxUID)) is not None
    if jpeg and _END_OF_JPEG not in dataset.PixelData[-64:]:
        raise EOFError("its compressed pixels end too early")  # decoders would invent the rest
    try:
        pixels = pixel_array(dataset)
    except RuntimeError:
        if not jpeg or count > 1:
            raise
        return [dicom_pixels(Path(dataset.filename))]  # a second decoder accepts flaws that the first ones refuse
    kind = str(dataset.get("PhotometricInterpretation", ""))
    if kind == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
    elif kind == "MONOCHROME1":  # low values are white: inverted, so that high values are bright in every picture
        pixels = (-1 if dataset.PixelRepresentation else 2**dataset.BitsStored - 1) - pixels.astype(np.int64)
    frames = pixels if count > 1 else pixels[None]
    return [_rescaled(frame, dataset, number) for number, frame in enumerate(frames)]


def _rescaled(frame: NDArray[Any], dataset: Any, number: int) -> NDArray[Any]:
    from pydicom.pixels.processing import apply_modality_lut

    if dataset.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(frame, dataset))
    transform = _group(dataset, number, "PixelValueTransformationSequence") or dataset
    slope, intercept = float(transform.get("RescaleSlope", 1)), float(transform.get("RescaleIntercept", 0))
    return frame if (slope, intercept) == (1, 0) else (frame * slope + intercept).astype(np.float32)


def _group(dataset: Any, number: int, name: str) -> Any:
    """A functional group of an enhanced image: that of the frame, else the shared one, else None."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for groups in (*per_frame[number : number + 1], *shared[:1]):
        if groups.get(name):
            return groups[name][0]
    return None


def _position_of(dataset: Any, number: int, count: int) -> _SlicePosition | None:
    position = _group(dataset, number, "PlanePositionSequence") or dataset
    orientation = _group(dataset, number, "PlaneOrientationSequence") or dataset
    measures = _group(dataset, number, "PixelMeasuresSequence") or dataset
    corner, cosines = position.get("ImagePositionPatient"), orientation.get("ImageOrientationPatient")
    if not corner or not cosines or (count > 1 and position is dataset):
        return None
    across, down = np.array(cosines[:3], np.float64), np.array(cosines[3:], np.float64)
    row_mm, col_mm = _pixel_spacing(measures)
    thickness = float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 1)
    return _SlicePosition(
        np.array(corner, np.float64), across * col_mm, down * row_mm, np.cross(across, down), abs(thickness)
    )


def _pixel_spacing(measures: Any) -> tuple[float, float]:
    row, col = measures.get("PixelSpacing") or measures.get("ImagerPixelSpacing") or (1, 1)
    return float(row) or 1.0, float(col) or 1.0


def _geometry(positions: list[_SlicePosition], path: Path) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The affine of all slices and their order along the normal."""
    first = positions[0]
    for position in positions:
        turned = np.abs(position.to_column - first.to_column).max() + np.abs(position.to_row - first.to_row).max()
        if turned > _DIRECTION * np.linalg.norm(first.to_column):
            raise GeometryError(f"'{path}' holds slices of different directions", "parallel slices", "separate them")
    height = np.array([position.origin @ first.normal for position in positions])
    order = np.argsort(height, kind="stable")
    step = first.normal * first.thickness
    if len(positions) > 1:
        _check_gaps(np.diff(height[order]), path)
        step = (positions[order[-1]].origin - positions[order[0]].origin) / (len(positions) - 1)
    affine = np.eye(4)
    affine[:3] = np.stack([first.to_column, first.to_row, step, positions[order[0]].origin], axis=1) * _LPS[:, None]
    return affine, order


def _check_gaps(gaps: NDArray[np.float64], path: Path) -> None:
    usual = float(np.median(gaps))
    if gaps.min() <= 1e-4:
        raise FileError(
            f"'{path}' holds several images of one position (time points, echoes or segments)",
            "one volume",
            "separate them into folders",
        )
    if np.abs(gaps - usual).max() > _GAP * usual:
        raise GeometryError(
            f"'{path}' has slices {gaps.min():.2f} to {gaps.max():.2f} mm apart",
            "equal distances",
            "add the slices that are missing",
        )


def _without_position(slices: list[NDArray[Any]], dataset: Any) -> Stored:
    """Images without a position in the patient (X-ray, ultrasound), read like a PNG but with their pixel spacing."""
    row_mm, col_mm = _pixel_spacing(dataset)
    affine = np.diag([-col_mm, -row_mm, 1.0, 1.0])
    if len(slices) == 1:
        return Stored(slices[0].swapaxes(0, 1)[:, :, None], affine, None, "color" if slices[0].ndim == 3 else "time")
    return Stored(np.stack(slices, axis=-1).swapaxes(0, 1)[:, :, None], affine)
