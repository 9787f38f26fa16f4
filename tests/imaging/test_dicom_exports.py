"""Exports of archives as they are: stray files, several series, copies, faults of anonymizers, zip files, DICOMDIR."""

import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.fileset import FileSet
from pydicom.uid import generate_uid

from mvg.errors import FileError, GeometryError
from mvg.imaging import read, read_labels
from mvg.imaging.dicom.reference import reference_of
from mvg.imaging.files import segment_names, volume_count
from tests.imaging.dicom_files import (
    SLICES,
    STORED,
    Change,
    add_series,
    change_files,
    item,
    pydicom_file,
    write_enhanced,
    write_phases,
    write_series,
)
from tests.imaging.grids import affine_of

AFFINE = affine_of(np.diag([-1.0, -1.0, 1.0]))
VOXELS = STORED.transpose(2, 1, 0).astype(np.float32) - 1024
POINTS_PER_ROW = [1.0, 0, 0, 0, 0, -1]  # a coronal localizer


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A folder with one series."""
    return write_series(tmp_path / "export", AFFINE)


def assert_is_the_series(path: Path, series: str = "") -> None:
    volume = read(path, series)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)


def test_one_series_uid_in_two_studies_is_no_endless_advice(export: Path) -> None:
    uid = str(pydicom.dcmread(export / "9.dcm").SeriesInstanceUID)
    add_series(export, SLICES, uid, StudyInstanceUID="1.2.77")
    with pytest.raises(FileError, match=r"exactly one; separate their studies into folders"):
        read(export, uid)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, SLICES - 1), of_study=st.sampled_from(["1.2.3", "1.2.4"]))
def test_the_largest_of_several_series_is_read_with_a_note(
    count: int, of_study: str, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_series(tmp_path_factory.mktemp("mixed") / "export", AFFINE)
    add_series(folder, count, "1.2.99999999", StudyInstanceUID=of_study, SeriesDescription="another")
    caplog.clear()
    assert_is_the_series(folder)
    (message,) = caplog.messages
    assert "holds 2 series; the largest" in message
    assert f"'another' ({count} images, UID ...99999999)" in message
    assert read(folder, "99999999").shape[2] == count


def test_equally_large_series_are_refused_with_their_names(export: Path) -> None:
    add_series(export, SLICES, "1.2.99999999", SeriesDescription="another")
    with pytest.raises(FileError, match=r"2 series: .*'another' \(5 images, UID \.\.\.99999999\).*--series UID"):
        read(export)
    assert read(export, "largest").shape == VOXELS.shape


@pytest.mark.parametrize("series", ["1.2.3.4.5", "."])
def test_a_series_that_is_not_there_is_refused(series: str, export: Path) -> None:
    add_series(export, 2, "1.2.99999999")
    with pytest.raises(FileError, match=r"holds \d series whose UID ends in"):
        read(export, series)


def test_a_stray_image_above_a_series_is_left_out_with_a_note(
    export: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "scout").write_bytes(pydicom_file("MR_small.dcm").read_bytes())
    assert_is_the_series(tmp_path)
    assert "holds 2 series" in caplog.text


def test_a_segmentation_does_not_count_as_the_largest_series(export: Path) -> None:
    add_series(export, SLICES, "1.2.99999999", SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4")
    assert_is_the_series(export)


def test_a_localizer_in_the_series_is_refused_unless_the_user_forces_it(export: Path) -> None:
    localizer = pydicom.dcmread(next(export.glob("*.dcm")))
    localizer.ImageOrientationPatient, localizer.ImageType = POINTS_PER_ROW, ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    localizer.save_as(export / "scout.dcm")
    with pytest.raises(
        GeometryError, match=r"5 and 1 images of different directions \(a localizer\).*scout\.dcm.*larg"
    ):
        read(export)
    assert_is_the_series(export, "largest")


def test_every_image_with_a_series_uid_of_its_own_is_one_series(export: Path, caplog: pytest.LogCaptureFixture) -> None:
    change_files(export, SeriesInstanceUID=generate_uid)
    assert_is_the_series(export)
    assert "SeriesInstanceUID of its own" in caplog.text


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(copies=st.sets(st.integers(0, SLICES - 1), min_size=1), uid=st.sampled_from(["kept", "new"]))
def test_copies_of_images_are_read_once_with_a_note(
    copies: set[int], uid: str, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_series(tmp_path_factory.mktemp("copies") / "export", AFFINE)
    for number in copies:
        dataset = pydicom.dcmread(folder / f"{9 - number}.dcm")
        dataset.SOPInstanceUID = generate_uid() if uid == "new" else dataset.SOPInstanceUID
        dataset.save_as(folder / f"{9 - number} (1).dcm")
    caplog.clear()
    assert_is_the_series(folder)
    assert f"{len(copies)} copies" in caplog.text


def test_images_of_one_position_that_nothing_tells_apart(export: Path) -> None:
    dataset = pydicom.dcmread(export / "9.dcm")
    dataset.SOPInstanceUID, dataset.PixelData = generate_uid(), dataset.PixelData[::-1]
    dataset.save_as(export / "echo.dcm")
    with pytest.raises(FileError, match="nothing in their headers tells them apart"):
        read(export)


def test_one_number_as_pixel_spacing_is_that_of_rows_and_columns(export: Path) -> None:
    change_files(export, PixelSpacing="0.75")
    assert read(export).spacing[:2] == (0.75, 0.75)


def test_different_images_of_one_position_are_named_by_what_differs(export: Path) -> None:
    dataset = pydicom.dcmread(export / "9.dcm")
    dataset.EchoTime, dataset.PixelData = 17, dataset.PixelData[::-1]
    dataset.save_as(export / "echo.dcm")
    with pytest.raises(FileError, match=r"several images of one position .* they differ in EchoTime"):
        read(export)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_missing_slice_is_named_by_its_position(number: int, export: Path) -> None:
    (export / f"{9 - number}.dcm").unlink()
    below, above = (AFFINE[2] @ [0, 0, k, 1] for k in (number - 1, number + 1))
    with pytest.raises(GeometryError, match=rf"between the positions {below:.2f} and {above:.2f} mm"):
        read(export)


@pytest.mark.parametrize(
    ("slope", "intercept", "fault"),
    [(None, -1024, "RescaleSlope is empty"), (0, -1024, "RescaleSlope is 0"), (1, None, "RescaleIntercept is empty")],
)
def test_impossible_rescale_values_are_replaced_with_a_note(
    slope: float | None, intercept: float | None, fault: str, export: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change_files(export, RescaleSlope=slope, RescaleIntercept=intercept)
    np.testing.assert_array_equal(read(export).voxels, VOXELS + (1024 if intercept is None else 0))
    assert fault in caplog.text


@pytest.mark.parametrize("names", [("RescaleSlope",), ("RescaleIntercept",), ("RescaleSlope", "RescaleIntercept")])
def test_missing_rescale_values_are_named(
    names: tuple[str, ...], export: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in export.glob("*.dcm"):
        dataset = pydicom.dcmread(file)
        for name in names:
            delattr(dataset, name)
        dataset.save_as(file)
    np.testing.assert_array_equal(read(export).voxels, VOXELS + (1024 if "RescaleIntercept" in names else 0))
    assert all(name in caplog.text for name in names)


def test_a_file_of_a_series_is_read_with_one_note_per_series(export: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("9.dcm", "8.dcm"):
        assert read(export / name).shape[2] == 1
    (message,) = caplog.messages
    assert "9.dcm' is one slice of a series" in message


@pytest.mark.parametrize("size", [0, 400, 1200])
def test_a_damaged_file_beside_a_series_is_named(size: int, export: Path, caplog: pytest.LogCaptureFixture) -> None:
    (export / "0.dcm").write_bytes((export / "9.dcm").read_bytes()[:size])
    (export / "notes.txt").write_text("no DICOM")
    assert_is_the_series(export)
    assert "1 damaged DICOM files, which are left out: 0.dcm" in caplog.text


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_archive_is_read(compression: int, export: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w", compression) as archive:
        archive.writestr("study/README.txt", "not an image")
        for file in export.iterdir():
            archive.write(file, f"study/series/{file.stem}")  # without a suffix, as archives export them
    assert_is_the_series(tmp_path / "export.zip")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged"])
def test_a_damaged_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "export.zip").write_bytes(content)
    with pytest.raises(FileError):
        read(tmp_path / "export.zip")


def test_an_archive_without_images_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("README.txt", "not an image")
    with pytest.raises(FileError, match="no DICOM image in the archive"):
        read(tmp_path / "export.zip")


def write_file_set(export: Path, folder: Path) -> Path:
    """A folder as it is on a CD, with a DICOMDIR; returns the path of the latter."""
    files = FileSet()
    for file in export.glob("*.dcm"):
        files.add(file)
    files.write(folder)
    return folder / "DICOMDIR"


def test_a_dicomdir_is_read(export: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    change_files(export, PatientID="1", StudyID="1", StudyDate="20200101", StudyTime="101010", SeriesNumber=1)
    directory = write_file_set(export, tmp_path / "cd")
    assert_is_the_series(directory)
    assert_is_the_series(directory.parent)
    assert not caplog.messages
    next(path for path in directory.parent.rglob("*") if path.is_file() and path.name != "DICOMDIR").unlink()
    read(directory, "largest")
    assert "names 1 files that are missing" in caplog.text


def test_files_without_preamble_and_suffix_are_read_in_folders(export: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in export.glob("*.dcm"):
        dataset = pydicom.dcmread(file)
        pydicom.dcmwrite(bare / file.stem, pydicom.Dataset(dataset), implicit_vr=True, little_endian=True)
    (bare / "text").write_text("\x08 is no DICOM")
    assert_is_the_series(bare)
    assert read(bare / "9").shape[2] == 1


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(2, 4), element=st.sampled_from(["TriggerTime", "EchoTime", "TemporalPositionIdentifier"]),
    backwards=st.booleans(),
)  # fmt: skip
def test_one_volume_of_a_series_with_several(
    count: int, element: str, backwards: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Phases and echoes: each position has an image of each."""
    folder = write_series(tmp_path_factory.mktemp("phases") / "export", AFFINE)
    for number in range(SLICES):
        dataset = pydicom.dcmread(folder / f"{9 - number}.dcm")
        for phase in range(count):
            setattr(dataset, element, (count - phase if backwards else phase) + 1)
            dataset.SOPInstanceUID = f"1.2.3.{number + 1}.{phase + 1}"
            dataset.PixelData = (STORED[number] + phase).tobytes()
            dataset.save_as(folder / f"{9 - number}{'' if phase == 0 else f'-{phase}'}.dcm")
    with pytest.raises(FileError, match=f"several images of one position .*{element}.*--volume 0"):
        read(folder)
    assert volume_count(folder) == count
    for number in range(count):
        phase = count - 1 - number if backwards else number
        np.testing.assert_array_equal(read(folder, f"volume {number}").voxels, VOXELS + phase)
    with pytest.raises(FileError, match=f"has {count} volumes"):
        read(folder, f"volume {count}")
    add_series(folder, SLICES, "1.2.77777777")
    uid = str(pydicom.dcmread(folder / "9.dcm").SeriesInstanceUID)
    assert volume_count(folder, uid) == count
    assert np.array_equal(read(folder, f"{uid} volume 0").voxels, VOXELS + (count - 1 if backwards else 0))


PHASES: dict[str, Change] = {
    "time": lambda frame, phase: setattr(frame, "FrameContentSequence", item(TemporalPositionIndex=phase + 1)),
    "trigger": lambda frame, phase: setattr(
        frame, "CardiacSynchronizationSequence", item(NominalCardiacTriggerDelayTime=30.0 * phase)
    ),
    "echo": lambda frame, phase: setattr(frame, "MREchoSequence", item(EffectiveEchoTime=2.0 + phase)),
    "diffusion": lambda frame, phase: setattr(frame, "MRDiffusionSequence", item(DiffusionBValue=500.0 * phase)),
}


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(2, 4), element=st.sampled_from(sorted(PHASES)), seed=st.integers(0, 99))
def test_one_volume_of_a_multi_frame_file_with_several(
    count: int, element: str, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As enhanced MR of a beating heart: frames lie in any order."""
    order = [(number, phase) for number in range(SLICES) for phase in range(count)]
    random.Random(seed).shuffle(order)
    path = write_phases(tmp_path_factory.mktemp("phases") / "cine.dcm", AFFINE, order, PHASES[element])
    clean = tmp_path_factory.mktemp("clean") / "one.dcm"
    write_enhanced(clean, AFFINE)
    expected = read(clean)
    with pytest.raises(FileError, match=r"several images of one position .*--volume 0"):
        read(path)
    assert volume_count(path) == count
    for number in range(count):
        volume = read(path, f"volume {number}")
        np.testing.assert_array_equal(volume.voxels, expected.voxels + 2 * number)
        np.testing.assert_allclose(volume.affine, expected.affine)
    with pytest.raises(FileError, match=f"has {count} volumes"):
        read(path, f"volume {count}")
    with pytest.raises(FileError, match=r"one of several volumes of a multi-frame file.*--format nifti"):
        reference_of(path, "volume 0", expected.shape)


def test_frames_that_nothing_tells_apart_are_volumes_as_they_are_stored(tmp_path: Path) -> None:
    order = [(number, phase) for phase in range(3) for number in range(SLICES)]
    path = write_phases(tmp_path / "cine.dcm", AFFINE, order, lambda frame, phase: None)
    voxels = [read(path, f"volume {number}").voxels for number in range(3)]
    np.testing.assert_array_equal(voxels[2], voxels[0] + 4)
    incomplete = write_phases(tmp_path / "part.dcm", AFFINE, order[:-1], PHASES["time"])
    assert volume_count(incomplete) == 1
    with pytest.raises(FileError, match=r"several images of one position .*because nothing in their headers"):
        read(incomplete)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(1, SLICES - 2), share=st.floats(0.6, 20), direction=st.integers(0, 1))
def test_slices_that_are_shifted_in_their_plane_are_refused(
    number: int, share: float, direction: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = write_series(tmp_path_factory.mktemp("shifted") / "export", AFFINE)
    dataset = pydicom.dcmread(folder / f"{9 - number}.dcm")
    position = np.array(dataset.ImagePositionPatient, float)
    cosines = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
    pixel = float(dataset.PixelSpacing[1 - direction])
    dataset.ImagePositionPatient = [round(x, 6) for x in position + share * pixel * cosines[direction]]
    dataset.save_as(folder / f"{9 - number}.dcm")
    with pytest.raises(GeometryError, match="are shifted in their plane, by"):
        read(folder)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.integers(-30_000, 30_000), width=st.integers(1, 9), inverted=st.booleans())
def test_padding_that_the_header_names_is_dark(
    value: int, width: int, inverted: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Above or among the other values it would be taken for tissue."""

    def padded(dataset: Any, number: int) -> None:
        pixels = STORED[number].copy()
        pixels[:width] = value
        dataset.PixelPaddingValue, dataset.PixelData = value, pixels.tobytes()
        dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"

    folder = write_series(tmp_path_factory.mktemp("padded") / "export", AFFINE, padded)
    voxels = read(folder).voxels
    rest = voxels[:, width:]
    dark = rest.min() + 0.13 * (rest.max() - rest.min())
    assert voxels[:, :width].max() <= dark


def test_images_without_a_position_are_named(export: Path) -> None:
    dataset = pydicom.dcmread(export / "7.dcm")
    del dataset.ImagePositionPatient
    dataset.save_as(export / "7.dcm")
    with pytest.raises(FileError, match=r"1 images without a position in the patient \(7\.dcm"):
        read(export)
    for file in export.glob("*.dcm"):
        dataset = pydicom.dcmread(file)
        dataset.pop("ImagePositionPatient", None)
        dataset.save_as(file)
    with pytest.raises(FileError, match=r"5 images of .* do not say where they lie"):
        read(export)


def test_an_image_that_ends_too_early_is_named(export: Path) -> None:
    whole = (export / "6.dcm").read_bytes()
    (export / "6.dcm").write_bytes(whole[:-700])
    with pytest.raises(FileError, match=r"6\.dcm' cannot be read \("):
        read(export)


@pytest.mark.parametrize("reader", [read, read_labels, volume_count, segment_names])
def test_an_archive_with_a_damaged_file_is_one_line(reader: Callable[[Path], object], export: Path) -> None:
    archive = Path(shutil.make_archive(str(export), "zip", export))
    content = bytearray(archive.read_bytes())
    content[60:200] = b"\xff" * 140  # of the first file that is compressed in it
    archive.write_bytes(content)
    with pytest.raises(FileError, match="cannot be read") as caught:
        reader(archive)
    assert "\n" not in str(caught.value)
