"""Faults of exports of any size: the voxels are those of the clean series, or a line names what is wrong."""

from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from mvg.errors import FileError, GeometryError
from mvg.imaging import read
from tests.imaging.dicom_files import SLICES, STORED, Change, add_series, write_series
from tests.imaging.grids import affine_of

AFFINE = affine_of(np.diag([-1.0, -1.0, 1.0]))
VOXELS = STORED.transpose(2, 1, 0).astype(np.float32) - 1024

few = settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
numbers = st.integers(0, SLICES - 1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes a series in a new folder, with a fault in each of its files."""

    def write(change: Change = lambda dataset, number: None) -> Path:
        return write_series(tmp_path_factory.mktemp("fault") / "export", AFFINE, change)

    return write


@few
@given(chosen=numbers, kept=st.sets(numbers), suffix=st.sampled_from([".dcm", ".ima", ""]))
def test_one_file_of_a_series_is_one_slice_with_a_line(
    chosen: int, kept: set[int], suffix: str, folders: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """As long as another file of the series lies beside it; of a file alone, `single slice` says so, see oddities."""
    folder = folders()
    for number in range(SLICES):
        file = folder / f"{9 - number}.dcm"
        file.rename(file.with_suffix(suffix)) if number in kept | {chosen} else file.unlink()
    caplog.clear()
    volume = read(folder / f"{9 - chosen}{suffix}")
    np.testing.assert_array_equal(volume.voxels, VOXELS[..., chosen : chosen + 1])
    assert ("is one slice of a series, and only this slice is read" in caplog.text) == bool(kept - {chosen})


@few
@given(
    slope=st.sampled_from([None, "", 0, "1"]),
    intercept=st.sampled_from([None, "", "-1024", "-1000.5"]),
    count=st.integers(1, SLICES),
)
def test_impossible_rescale_values_of_some_files_are_named(
    slope: Any, intercept: Any, count: int, folders: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """None: the element is missing. Of some files only, the others of the series have a slope and an intercept."""

    def change(dataset: Any, number: int) -> None:
        for name, value in (("RescaleSlope", slope), ("RescaleIntercept", intercept)):
            if number >= count:
                continue
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)

    folder = folders(change)
    caplog.clear()
    voxels = read(folder).voxels
    expected = VOXELS.copy()
    expected[..., :count] += 1024 + float(intercept or 0)
    np.testing.assert_array_equal(voxels, expected)
    for name, value, good in (("RescaleSlope", slope, "1"), ("RescaleIntercept", intercept, intercept or "-")):
        assert (name in caplog.text) == (value != good)


@few
@given(angle=st.floats(5, 90), count=st.integers(1, SLICES), is_marked=st.booleans())
def test_localizers_within_a_series_are_refused_or_left_out(
    angle: float, count: int, is_marked: bool, folders: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folders()
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    for number in range(count):
        dataset = pydicom.dcmread(folder / f"{9 - number}.dcm")
        dataset.ImageOrientationPatient = [1, 0, 0, 0, round(cosine, 9), round(sine, 9)]
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER" if is_marked else "AXIAL"]
        dataset.SOPInstanceUID = generate_uid()
        dataset.save_as(folder / f"scout {number}.dcm")
    with pytest.raises(GeometryError, match=r"images of different directions.*--series largest"):
        read(folder)
    if count < SLICES:
        assert np.array_equal(read(folder, "largest").voxels, VOXELS)
        assert f"one stack of {SLICES} images is read; left out: scout 0.dcm" in caplog.text


@few
@given(missing=st.sets(numbers, max_size=2), is_bare=st.booleans())
def test_a_series_uid_of_its_own_in_each_file_and_no_preamble(
    missing: set[int], is_bare: bool, folders: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Slices that are missing in between are named, at the ends the others are a shorter volume."""

    def change(dataset: Any, number: int) -> None:
        dataset.SeriesInstanceUID = f"1.2.3.4.{number}"

    folder = folders(change)
    for number in range(SLICES):
        file = folder / f"{9 - number}.dcm"
        if number in missing:
            file.unlink()
        elif is_bare:
            dataset = pydicom.dcmread(file)
            pydicom.dcmwrite(file, pydicom.Dataset(dataset), implicit_vr=True, little_endian=True)
    kept = sorted(set(range(SLICES)) - missing)
    caplog.clear()
    if kept[-1] - kept[0] + 1 > len(kept):
        with pytest.raises(GeometryError, match="between the positions"):
            read(folder)
    else:
        np.testing.assert_array_equal(read(folder).voxels, VOXELS[..., kept])
    assert f"each of {len(kept)} images has a SeriesInstanceUID of its own" in caplog.text


@settings(few, max_examples=3)
@given(count=st.integers(1, 2), uids=st.lists(st.integers(10**7, 10**8 - 1), min_size=3, max_size=3, unique=True))
def test_several_series_of_one_size_are_refused_with_the_flags_that_choose(
    count: int, uids: list[int], folders: Any
) -> None:
    folder = folders()
    for uid in uids[:count]:
        add_series(folder, SLICES, f"1.2.{uid}")
    with pytest.raises(FileError, match=rf"holds {count + 1} series.*--series UID, or --series largest or all"):
        read(folder)
    for uid in uids[:count]:
        np.testing.assert_array_equal(read(folder, str(uid)).voxels, VOXELS)


@few
@given(rows=st.lists(st.integers(1, 200), min_size=1, max_size=3), is_of_study=st.booleans())
def test_stray_images_of_any_size_leave_the_series_as_it_is(
    rows: list[int], is_of_study: bool, folders: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folders()
    for number, height in enumerate(rows):
        dataset = pydicom.dcmread(folder / "9.dcm")
        pixels: NDArray[np.int16] = np.full((height, 7), 100, np.int16)
        dataset.Rows, dataset.Columns, dataset.PixelData = height, 7, pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
        dataset.SOPInstanceUID, dataset.SeriesInstanceUID = generate_uid(), f"1.2.5.{number}"
        dataset.StudyInstanceUID = dataset.StudyInstanceUID if is_of_study else f"1.2.6.{number}"
        dataset.save_as(folder / f"stray {number}.dcm")
    caplog.clear()
    np.testing.assert_array_equal(read(folder).voxels, VOXELS)
    assert f"holds {len(rows) + 1} series; the largest, " in caplog.text


@few
@given(
    numbers=st.sets(numbers),
    mark=st.sampled_from(["P", "PHASE MAP", "component"]),
    modality=st.sampled_from(["MR", "CT"]),
)
def test_phase_instead_of_magnitude_is_a_line(
    numbers: set[int], mark: str, modality: str, folders: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def change(dataset: Any, number: int) -> None:
        dataset.Modality, dataset.ImageType = modality, ["ORIGINAL", "PRIMARY", "M", "ND"]
        if number in numbers and mark == "component":
            dataset.ComplexImageComponent = "PHASE"
        elif number in numbers:
            dataset.ImageType = ["ORIGINAL", "PRIMARY", mark, "ND"]

    folder = folders(change)
    caplog.clear()
    np.testing.assert_array_equal(read(folder).voxels, VOXELS)
    is_named = f"{len(numbers)} of {SLICES} images hold phase, not magnitude" in caplog.text
    assert is_named == (bool(numbers) and modality == "MR")


@few
@given(numbers=st.sets(numbers), kind=st.sampled_from([["DERIVED", "SECONDARY", "MIP"], ["ORIGINAL", "PRIMARY"], None]))
def test_images_of_several_kinds_in_one_volume_are_a_line(
    numbers: set[int], kind: list[str] | None, folders: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """As a projection of the slices that was stored behind them."""

    def change(dataset: Any, number: int) -> None:
        dataset.ImageType = kind if number in numbers else ["ORIGINAL", "PRIMARY", "AXIAL"]

    folder = folders(change)
    caplog.clear()
    np.testing.assert_array_equal(read(folder).voxels, VOXELS)
    assert ("several kinds lie in one volume" in caplog.text) == (0 < len(numbers) < SLICES)
    if 0 < len(numbers) < SLICES:
        name = "\\".join(kind) if kind else "without one"
        assert f"{len(numbers)} {name}" in caplog.text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, "holds mosaics: .*dcm2niix"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2", "Modality": "RTDOSE"}, "is a dose"),
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
def test_mosaics_and_doses_are_refused(values: dict[str, Any], message: str, as_file: bool, folders: Any) -> None:
    def change(dataset: Any, number: int) -> None:
        for name, value in values.items():
            setattr(dataset, name, value)

    folder = folders(change)
    with pytest.raises(FileError, match=message):
        read(folder / "9.dcm" if as_file else folder)


@few
@given(
    sizes=st.tuples(st.sampled_from([0.0, 1.3]), st.sampled_from([0.0, 0.7])),
    signs=st.tuples(st.sampled_from([-1, 1]), st.sampled_from([-1, 1])),
)
def test_an_impossible_pixel_spacing_is_a_line(
    sizes: tuple[float, float], signs: tuple[int, int], folders: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def change(dataset: Any, number: int) -> None:
        dataset.PixelSpacing = [sign * size for sign, size in zip(signs, sizes, strict=True)]

    folder = folders(change)
    caplog.clear()
    volume = read(folder)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    np.testing.assert_allclose(volume.spacing[:2], [size or 1 for size in reversed(sizes)], atol=1e-6)
    np.testing.assert_array_equal(np.sign(volume.affine[:2, :2]), np.sign(AFFINE[:2, :2]))
    assert ("PixelSpacing is impossible" in caplog.text) == (0 in sizes or -1 in signs)


@few
@given(identifiers=st.lists(st.sampled_from(["", "a", "b"]), min_size=SLICES, max_size=SLICES))
def test_several_patients_in_one_volume_are_a_line(
    identifiers: list[str], folders: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folders(lambda dataset, number: setattr(dataset, "PatientID", identifiers[number]))
    caplog.clear()
    np.testing.assert_array_equal(read(folder).voxels, VOXELS)
    assert ("its images are of 2 patients, by their PatientID" in caplog.text) == ({"a", "b"} <= {*identifiers})


@few
@given(acquisitions=st.lists(st.sampled_from([None, 1, 2, 3]), min_size=SLICES, max_size=SLICES))
def test_slices_of_acquisitions_that_alternate_are_a_line(
    acquisitions: list[int | None], folders: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """As two phases of contrast in one series, with positions between one another; runs of slices are usual."""
    folder = folders(lambda dataset, number: setattr(dataset, "AcquisitionNumber", acquisitions[number]))
    caplog.clear()
    np.testing.assert_array_equal(read(folder).voxels, VOXELS)
    runs = len([*groupby(acquisitions)])
    assert ("acquisitions alternate" in caplog.text) == (None not in acquisitions and runs > len({*acquisitions}))
