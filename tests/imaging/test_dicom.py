"""DICOM: series in folders, single files, compressed and enhanced files, compared with SimpleITK."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import JPEG2000Lossless, RLELossless

from mvg.errors import FileError, GeometryError
from mvg.imaging import Volume, read, read_labels, write
from tests.imaging.dicom_files import ROWS, SLICES, STORED, Change, pydicom_file, write_enhanced, write_series
from tests.imaging.grids import ORIENTATIONS, affine_of

ROTATIONS = [orientation for orientation in ORIENTATIONS if np.linalg.det(orientation) > 0]


def read_with_simpleitk(folder: Path) -> sitk.Image:
    return sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))


@pytest.mark.parametrize("tilt", [(0.0, 0.0, 0.0), (0.3, -0.2, 0.15)])
@pytest.mark.parametrize("orientation", ROTATIONS)
def test_a_series_in_any_orientation_agrees_with_simpleitk(
    orientation: NDArray[np.float64], tilt: tuple[float, float, float], tmp_path: Path
) -> None:
    affine = affine_of(orientation, tilt=tilt)
    volume = read(write_series(tmp_path / "ct", affine))
    hu = STORED.transpose(2, 1, 0).astype(np.float32) - 1024
    np.testing.assert_array_equal(volume.voxels, hu)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)
    reference = read_with_simpleitk(tmp_path / "ct")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(reference).transpose(2, 1, 0), volume.voxels)
    np.testing.assert_allclose(np.array(reference.GetOrigin()) * [-1, -1, 1], volume.affine[:3, 3], atol=1e-5)


def test_slices_in_the_opposite_direction_of_the_normal_are_reordered(tmp_path: Path) -> None:
    affine = affine_of(np.diag([-1.0, -1.0, -1.0]))
    volume = read(write_series(tmp_path / "ct", affine))
    np.testing.assert_array_equal(volume.voxels, STORED[::-1].transpose(2, 1, 0).astype(np.float32) - 1024)
    np.testing.assert_allclose(volume.affine[:3, 3], (affine @ [0, 0, SLICES - 1, 1])[:3], atol=1e-5)


def test_the_affine_keeps_a_tilted_gantry(tmp_path: Path) -> None:
    affine = affine_of(np.diag([-1.0, -1.0, 1.0]))
    affine[1, 2] = 0.8
    np.testing.assert_allclose(read(write_series(tmp_path / "ct", affine)).affine, affine, atol=1e-5)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_a_compressed_series_equals_the_uncompressed_one(syntax: str, tmp_path: Path) -> None:
    affine = affine_of(np.diag([-1.0, -1.0, 1.0]))
    plain = read(write_series(tmp_path / "plain", affine))
    compressed = read(write_series(tmp_path / "compressed", affine, lambda dataset, number: dataset.compress(syntax)))
    np.testing.assert_array_equal(compressed.voxels, plain.voxels)
    np.testing.assert_array_equal(compressed.affine, plain.affine)


@pytest.mark.parametrize(
    "name",
    ["MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm",
     "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm"],
)  # fmt: skip
def test_an_image_is_the_same_in_every_transfer_syntax(name: str) -> None:
    plain, compressed = read(pydicom_file("MR_small.dcm")), read(pydicom_file(name))
    np.testing.assert_array_equal(compressed.voxels, plain.voxels)
    np.testing.assert_array_equal(compressed.affine, plain.affine)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("CT_small.dcm", 0), ("693_J2KI.dcm", 0), ("JPEG2000.dcm", 0), ("JPGExtended.dcm", 1), ("JPEG-lossy.dcm", 1),
     ("image_dfl.dcm", 0), ("JPEGLSNearLossless_16.dcm", 0)],
)  # fmt: skip
def test_single_files_agree_with_simpleitk(name: str, tolerance: float) -> None:
    volume = read(pydicom_file(name))
    reference = sitk.ReadImage(str(pydicom_file(name)))
    np.testing.assert_allclose(volume.voxels[..., 0], sitk.GetArrayFromImage(reference)[0].T, atol=tolerance)
    np.testing.assert_allclose(volume.spacing[:2], reference.GetSpacing()[:2])
    np.testing.assert_allclose(volume.affine[:3, 3], np.array(reference.GetOrigin()) * [-1, -1, 1], atol=1e-6)


def test_files_without_a_suffix_are_recognized_by_content(tmp_path: Path) -> None:
    (tmp_path / "1.2.840.1").write_bytes(pydicom_file("CT_small.dcm").read_bytes())
    assert read(tmp_path / "1.2.840.1").shape == (128, 128, 1)


def test_files_without_a_preamble_are_read(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(pydicom_file("CT_small.dcm"))
    for implicit in (True, False):
        plain = pydicom.Dataset(dataset)
        pydicom.dcmwrite(tmp_path / "plain.dcm", plain, implicit_vr=implicit, little_endian=True)
        np.testing.assert_array_equal(read(tmp_path / "plain.dcm").voxels, read(pydicom_file("CT_small.dcm")).voxels)


def test_folders_with_one_slice_and_nested_folders_are_read(tmp_path: Path) -> None:
    inner = tmp_path / "study" / "series"
    inner.mkdir(parents=True)
    (inner / "slice.dcm").write_bytes(pydicom_file("CT_small.dcm").read_bytes())
    (inner / "notes.txt").write_text("not an image")
    assert read(inner).shape == read(tmp_path / "study").shape == (128, 128, 1)
    assert read(inner).spacing == pytest.approx((0.661468, 0.661468, 5))


def test_every_slice_uses_its_rescale_slope(tmp_path: Path) -> None:
    def change(dataset: Any, number: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 * (number + 1), 10

    volume = read(write_series(tmp_path / "pet", affine_of(np.diag([-1.0, -1.0, 1.0])), change))
    expected = STORED * (0.5 * np.arange(1, SLICES + 1))[:, None, None] + 10
    np.testing.assert_allclose(volume.voxels, expected.transpose(2, 1, 0))


def test_inverted_gray_values_are_inverted_back(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(pydicom_file("CT_small.dcm"))
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.save_as(tmp_path / "a.dcm")
    inverted, plain = read(tmp_path / "a.dcm").voxels, read(pydicom_file("CT_small.dcm")).voxels
    np.testing.assert_allclose(inverted + plain, (inverted + plain)[0, 0, 0])


def test_enhanced_multi_frame_files_are_read(tmp_path: Path) -> None:
    affine = affine_of(np.diag([-1.0, -1.0, 1.0]), tilt=(0.2, 0.1, -0.3))
    write_enhanced(tmp_path / "ct.dcm", affine)
    volume = read(tmp_path / "ct.dcm")
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)
    expected = STORED * 2.0 - 1000 - np.arange(SLICES)[:, None, None]
    np.testing.assert_array_equal(volume.voxels, expected.transpose(2, 1, 0))


def test_labels_in_dicom_are_read_exactly(tmp_path: Path) -> None:
    def change(dataset: Any, number: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0

    volume = read_labels(write_series(tmp_path / "labels", affine_of(np.diag([-1.0, -1.0, 1.0])), change))
    np.testing.assert_array_equal(volume.voxels, STORED.transpose(2, 1, 0))


def move_one_slice(dataset: Any, number: int) -> None:
    if number == 2:
        dataset.ImagePositionPatient = [*dataset.ImagePositionPatient[:2], dataset.ImagePositionPatient[2] + 2]


def repeat_positions(dataset: Any, number: int) -> None:
    dataset.ImagePositionPatient = [0, 0, number // 2]


def rotate_one_slice(dataset: Any, number: int) -> None:
    if number == 2:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def crop_one_slice(dataset: Any, number: int) -> None:
    if number == 2:
        dataset.Rows, dataset.PixelData = ROWS - 1, STORED[0, 1:].tobytes()


@pytest.mark.parametrize(
    ("change", "error_class", "match"),
    [(move_one_slice, GeometryError, "slices .* apart"), (rotate_one_slice, GeometryError, "different directions"),
     (repeat_positions, FileError, "several images of one position"), (crop_one_slice, FileError, "different sizes")],
)  # fmt: skip
def test_a_series_that_is_not_one_volume_is_refused(
    change: Change, error_class: type[Exception], match: str, tmp_path: Path
) -> None:
    folder = write_series(tmp_path / "ct", affine_of(np.diag([-1.0, -1.0, 1.0])), change)
    with pytest.raises(error_class, match=match):
        read(folder)


@pytest.mark.parametrize("name", ["SC_rgb_jpeg.dcm", "examples_palette.dcm"])
def test_color_images_have_three_channels(name: str) -> None:
    assert read(pydicom_file(name)).channels == 3


@pytest.mark.parametrize(
    ("name", "match"),
    [("rtstruct.dcm", "no image"), ("test-SR.dcm", "no image"),
     ("MR_truncated.dcm", "less"), ("SC_rgb_rle_2frame.dcm", "4D"),
     ("examples_ybr_color.dcm", "4D"), ("rtdose.dcm", "is a dose")],
)  # fmt: skip
def test_files_without_one_volume_are_refused(name: str, match: str) -> None:
    with pytest.raises(FileError, match=match):
        read(pydicom_file(name))


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "693_J2KI.dcm", "MR_small_jpeg_ls_lossless.dcm",
     "JPGExtended.dcm", "JPEG-lossy.dcm"],
)  # fmt: skip
@pytest.mark.parametrize("fraction", [0.3, 0.7, 0.95])
def test_truncated_files_are_refused(name: str, fraction: float, tmp_path: Path) -> None:
    content = pydicom_file(name).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(FileError):
        read(tmp_path / "cut.dcm")


@pytest.mark.parametrize("name", ["JPEG-lossy.dcm", "JPGExtended.dcm", "MR_small_jp2klossless.dcm", "693_J2KI.dcm"])
def test_truncated_pixel_data_in_a_complete_file_is_refused(name: str, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(pydicom_file(name))
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
    dataset.save_as(tmp_path / "cut.dcm")
    with pytest.raises(FileError):
        read(tmp_path / "cut.dcm")


def test_the_second_decoder_reads_single_frames_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("a defect")

    dataset = pydicom.dcmread(pydicom_file("JPGExtended.dcm"))
    dataset.save_as(tmp_path / "one.dcm")
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData, dataset.NumberOfFrames = encapsulate([frame, frame]), 2
    dataset.save_as(tmp_path / "two.dcm")
    monkeypatch.setattr("pydicom.pixels.utils.pixel_array", fail)
    assert read(tmp_path / "one.dcm").shape[2] == 1
    with pytest.raises(FileError, match=r"two\.dcm' cannot be read \(a defect\)"):
        read(tmp_path / "two.dcm")


def test_writing_dicom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"choose \.nii\.gz"):
        write(Volume(np.zeros((2, 2, 2)), np.eye(4)), tmp_path / "a.dcm")
    assert not list(tmp_path.iterdir())
