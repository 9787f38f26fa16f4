"""PET in SUV, and the pixel spacing and colors of ultrasound."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from mvg.imaging import read
from tests.imaging.dicom_files import COLS, ROWS, STORED, pydicom_file, write_series
from tests.imaging.grids import affine_of

WEIGHT, DOSE, HALF_LIFE = 70, 3.5e8, 6586.2  # kg, Bq, s of fluorine-18


def write_pet(folder: Path, **values: Any) -> Path:
    """A PET series of activity, injected 3600 s before the scan."""

    def change(dataset: Any, number: int) -> None:
        drug = pydicom.Dataset()
        drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = DOSE, HALF_LIFE
        drug.RadiopharmaceuticalStartTime = "090000.00"
        dataset.Modality, dataset.Units, dataset.DecayCorrection = "PT", "BQML", "START"
        dataset.PatientWeight, dataset.RadiopharmaceuticalInformationSequence = WEIGHT, pydicom.Sequence([drug])
        dataset.SeriesDate = dataset.AcquisitionDate = "20200101"
        dataset.SeriesTime, dataset.AcquisitionTime = "100000", f"10{number:02d}00"
        dataset.RescaleSlope, dataset.RescaleIntercept = 2, 0
        for name, value in values.items():
            setattr(drug if name.startswith("Radio") else dataset, name, value)

    return write_series(folder, affine_of(np.diag([-1.0, -1.0, 1.0])), change)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({}, 3600),
        ({"DecayCorrection": "ADMIN"}, 0),
        ({"SeriesTime": "120000"}, 3600),  # the time of processing: the first acquisition counts
        ({"RadiopharmaceuticalStartTime": "233000"}, 37800),  # of the day before
        ({"RadiopharmaceuticalStartDateTime": "20200101093000"}, 1800),
    ],
)
def test_activity_becomes_suv(
    values: dict[str, Any], seconds: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    volume = read(write_pet(tmp_path / "pet", **values))
    suv = STORED * 2.0 * WEIGHT * 1000 / (DOSE * 0.5 ** (seconds / HALF_LIFE))
    np.testing.assert_allclose(volume.voxels, suv.transpose(2, 1, 0), rtol=1e-5)
    assert "read as SUV by body weight" in caplog.text


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ({"PatientWeight": None}, "PatientWeight is missing"),
        ({"PatientWeight": 0}, "PatientWeight is missing or impossible"),
        ({"RadionuclideTotalDose": None}, "RadionuclideTotalDose is missing"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection 'NONE', START or ADMIN, is missing"),
        ({"RadiopharmaceuticalStartTime": "noon"}, "RadiopharmaceuticalStartTime is missing"),
        ({"RadiopharmaceuticalStartDateTime": "20191201090000"}, "the time of the injection is missing or impossible"),
        ({"RadiopharmaceuticalInformationSequence": None}, "RadiopharmaceuticalInformationSequence is missing"),
        ({"Units": "PROPCPS"}, "units 'PROPCPS'"),
        ({"Units": "GML"}, "PET in SUV, as the scanner stored it"),
    ],
)
def test_values_are_kept_with_a_note_where_suv_is_unknown(
    values: dict[str, Any], note: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_pet(tmp_path / "pet")
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        for name, value in values.items():
            is_of_drug = name.startswith("Radio") and name != "RadiopharmaceuticalInformationSequence"
            setattr(dataset.RadiopharmaceuticalInformationSequence[0] if is_of_drug else dataset, name, value)
        dataset.save_as(file)
    np.testing.assert_array_equal(read(folder).voxels, STORED.transpose(2, 1, 0) * 2.0)
    assert note in caplog.text


def test_counts_of_philips_become_suv(tmp_path: Path) -> None:
    def change(dataset: Any) -> None:
        block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x00, "DS", "0.5")

    folder = write_pet(tmp_path / "pet", Units="CNTS")
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        change(dataset)
        dataset.save_as(file)
    np.testing.assert_allclose(read(folder).voxels, STORED.transpose(2, 1, 0))


def write_ultrasound(path: Path, frames: int) -> np.ndarray[Any, Any]:
    """An ultrasound image or film in color, without a position; 0.2 mm between columns and 0.4 mm between rows."""
    dataset = pydicom.dcmread(pydicom_file("CT_small.dcm"))
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(dataset, name)
    colors = np.random.default_rng(0).integers(0, 256, (frames, ROWS, COLS, 3), dtype=np.uint8)
    region = pydicom.Dataset()
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY, region.RegionLocationMaxX1 = 0.02, 0.04, COLS
    other = pydicom.Dataset()
    other.PhysicalUnitsXDirection, other.PhysicalUnitsYDirection = 4, 7  # a Doppler curve over time
    dataset.SequenceOfUltrasoundRegions = pydicom.Sequence([other, region])
    dataset.Modality, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = "US", 3, "RGB"
    dataset.PlanarConfiguration, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 0, 8, 8, 7
    dataset.PixelRepresentation, dataset.NumberOfFrames = 0, frames
    dataset.Rows, dataset.Columns, dataset.PixelData = ROWS, COLS, colors.tobytes()
    dataset.save_as(path)
    return colors


def test_ultrasound_in_color_has_the_spacing_of_its_region(tmp_path: Path) -> None:
    colors = write_ultrasound(tmp_path / "us.dcm", 1)
    volume = read(tmp_path / "us.dcm")
    np.testing.assert_array_equal(volume.voxels[:, :, 0], colors[0].swapaxes(0, 1))
    assert volume.spacing[:2] == pytest.approx((0.2, 0.4))


def test_a_film_of_ultrasound_is_refused_as_time_points(tmp_path: Path) -> None:
    write_ultrasound(tmp_path / "us.dcm", 4)
    with pytest.raises(Exception, match=r"4D, of shape \(40, 32, 1, 4\)"):
        read(tmp_path / "us.dcm")
