"""Small DICOM series, made from a file that comes with pydicom."""

import shutil
from collections.abc import Callable
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
        dataset.PixelSpacing = [spacing[1], spacing[0]]
        dataset.ImageOrientationPatient = [*(lps[:3, 0] / spacing[0]), *(lps[:3, 1] / spacing[1])]
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
