"""Small DICOM series, made from a file that comes with pydicom."""

import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from tests.imaging.grids import affine_of

ROWS, COLS, SLICES = 32, 40, 5
STORED = np.random.default_rng(0).integers(0, 3000, (SLICES, ROWS, COLS), dtype=np.int16)

Change = Callable[[Any, int], None]


def pydicom_file(name: str) -> Path:
    """A test file that comes with pydicom."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path)


def write_series(folder: Path, affine: NDArray[np.float64], change: Change = lambda dataset, number: None) -> Path:
    """Writes a CT series; slice `number` has this index along the third axis of `affine` (in RAS)."""
    folder.mkdir(exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    for number in range(SLICES):
        dataset = pydicom.dcmread(pydicom_file("CT_small.dcm"))
        dataset.Rows, dataset.Columns, dataset.PixelData = ROWS, COLS, STORED[number].tobytes()
        dataset.PixelSpacing = [round(spacing[1], 9), round(spacing[0], 9)]
        cosines = [*(lps[:3, 0] / spacing[0]), *(lps[:3, 1] / spacing[1])]
        dataset.ImageOrientationPatient = [round(x, 9) for x in cosines]
        dataset.ImagePositionPatient = [round(x, 9) for x in lps[:3, 3] + number * lps[:3, 2]]
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number + 1}"
        dataset.InstanceNumber = number + 1
        change(dataset, number)
        # File names are in reverse order, so that only positions can sort the slices.
        dataset.save_as(folder / f"{9 - number}.dcm")
    return folder


def change_files(folder: Path, **values: Any) -> None:
    """Sets elements of every file in a folder; a callable makes one value per file."""
    for file in folder.glob("*.dcm"):
        dataset = pydicom.dcmread(file)
        for name, value in values.items():
            setattr(dataset, name, value() if callable(value) else value)
        dataset.save_as(file)


def add_series(folder: Path, count: int, uid: str, **values: Any) -> None:
    """Adds the first images of another series to a folder."""
    other = write_series(folder.parent / uid, affine_of(np.diag([-1.0, -1.0, 1.0])))
    change_files(other, SeriesInstanceUID=uid, SOPInstanceUID=generate_uid, **values)
    for file in sorted(other.glob("*.dcm"))[:count]:
        shutil.move(file, folder / f"{uid}-{file.name}")


def item(**values: Any) -> pydicom.Sequence:
    """A sequence of one item with these elements."""
    dataset_item = pydicom.Dataset()
    for name, value in values.items():
        setattr(dataset_item, name, value)
    return pydicom.Sequence([dataset_item])


def write_enhanced(path: Path, affine: NDArray[np.float64]) -> None:
    """Writes one multi-frame file with geometry and HU in functional groups."""
    dataset = pydicom.dcmread(pydicom_file("CT_small.dcm"))
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(dataset, name)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)

    cosines = [*(lps[:3, 0] / spacing[0]), *(lps[:3, 1] / spacing[1])]
    dataset.SharedFunctionalGroupsSequence = item(
        PixelMeasuresSequence=item(PixelSpacing=[round(spacing[1], 9), round(spacing[0], 9)], SliceThickness=1),
        PlaneOrientationSequence=item(ImageOrientationPatient=[round(x, 9) for x in cosines]),
    )
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    frames = [
        item(
            PlanePositionSequence=item(ImagePositionPatient=[round(x, 9) for x in lps[:3, 3] + k * lps[:3, 2]]),
            PixelValueTransformationSequence=item(RescaleSlope=2, RescaleIntercept=-1000 - k),
        )[0]
        for k in reversed(range(SLICES))
    ]
    dataset.PerFrameFunctionalGroupsSequence = pydicom.Sequence(frames)
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = SLICES, ROWS, COLS
    dataset.PixelData = STORED[::-1].tobytes()
    dataset.save_as(path)


def write_phases(path: Path, affine: NDArray[np.float64], order: list[tuple[int, int]], change: Change) -> Path:
    """As `write_enhanced`, with a frame for each (slice, phase) in this order; phases are brighter by 1 each.

    change: is called with the functional groups of a frame and the number of its phase.
    """
    write_enhanced(path, affine)
    dataset = pydicom.dcmread(path)
    by_slice = list(reversed(dataset.PerFrameFunctionalGroupsSequence))
    frames = [deepcopy(by_slice[number]) for number, _ in order]
    for frame, (_, phase) in zip(frames, order, strict=True):
        change(frame, phase)
    dataset.PerFrameFunctionalGroupsSequence = pydicom.Sequence(frames)
    dataset.NumberOfFrames = len(frames)
    dataset.PixelData = np.stack([STORED[number] + phase for number, phase in order]).tobytes()
    dataset.save_as(path)
    return path
