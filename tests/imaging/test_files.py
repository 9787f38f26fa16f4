"""Every file format returns the grid, the affine and the values that were written."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mvg.errors import FileError, GeometryError
from mvg.imaging import LabelMap, Volume, read, read_labels, stem_of, suffix_of, write
from mvg.imaging.conversion import as_labels
from tests.imaging.grids import ORIENTATIONS, affine_of, affines, labels_of, same, shapes, volume_of

VOLUMES = [".nii", ".nii.gz", ".mgh", ".mgz", ".mha", ".mhd", ".nrrd", ".nhdr", ".npz", ".h5", ".hdf5"]
reuses_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)


def write_and_read(original: Volume | LabelMap, path: Path) -> Volume | LabelMap:
    """Writes and reads twice; the second result must equal the first one bit for bit."""
    reader = read if isinstance(original, Volume) else read_labels
    write(original, path)
    first = reader(path)
    second_path = path.with_name(f"again-{path.name}")
    write(first, second_path)
    assert same(reader(second_path), first)
    return first


@pytest.mark.parametrize("suffix", VOLUMES)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_format_keeps_every_orientation(orientation: NDArray[np.float64], suffix: str, tmp_path: Path) -> None:
    for original in (volume_of(affine_of(orientation)), labels_of(affine_of(orientation))):
        result = write_and_read(original, tmp_path / f"scan{suffix}")
        np.testing.assert_array_equal(result.voxels, original.voxels)
        np.testing.assert_allclose(result.affine, original.affine, rtol=1e-6, atol=1e-5)
        assert result.axcodes == original.axcodes


@pytest.mark.parametrize("suffix", VOLUMES)
@given(affine=affines(), shape=shapes)
@reuses_folder
def test_every_format_keeps_any_affine(
    affine: NDArray[np.float64], shape: tuple[int, int, int], suffix: str, tmp_path: Path
) -> None:
    original = volume_of(affine, shape)
    result = write_and_read(original, tmp_path / f"scan{suffix}")
    np.testing.assert_array_equal(result.voxels, original.voxels)
    np.testing.assert_allclose(result.affine, original.affine, rtol=1e-5, atol=1e-4)
    if suffix in (".npz", ".h5", ".hdf5"):
        assert same(result, original)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".mhd", ".nrrd"])
@pytest.mark.parametrize("orientation", ORIENTATIONS[::6])
def test_simpleitk_reads_voxels_at_the_same_positions(
    orientation: NDArray[np.float64], suffix: str, tmp_path: Path
) -> None:
    volume = volume_of(affine_of(orientation, tilt=(0.3, -0.2, 0.1)))
    write(volume, tmp_path / f"scan{suffix}")
    image = sitk.ReadImage(str(tmp_path / f"scan{suffix}"))
    for index in ((0, 0, 0), (3, 0, 0), (0, 4, 0), (0, 0, 5), (1, 2, 3)):
        x, y, z = (volume.affine @ (*index, 1))[:3]
        assert image.TransformPhysicalPointToIndex((-x, -y, z)) == index
        assert image.GetPixel(index) == volume.voxels[index]


@pytest.mark.parametrize("suffix", VOLUMES)
def test_results_keep_the_affine_of_their_query_bit_for_bit(suffix: str, tmp_path: Path) -> None:
    write(volume_of(affine_of(ORIENTATIONS[29], tilt=(0.3, -0.2, 0.1))), tmp_path / f"query{suffix}")
    query = read(tmp_path / f"query{suffix}")
    for result in (
        query.like(query.canonical().voxels > 0),
        query.from_pictures(query.pictures("coronal") * 2, "coronal"),
        volume_of(affine_of(np.eye(3)), (9, 9, 9)).resample(query),
    ):
        write(result, tmp_path / f"result{suffix}")
        assert read(tmp_path / f"result{suffix}").affine.tobytes() == query.affine.tobytes()


def write_nifti(
    path: Path, sform: int, qform: int, shear: float = 0.0, is_nifti2: bool = False, is_big_endian: bool = False
) -> None:
    affine = affine_of(ORIENTATIONS[17], tilt=(0.31, -0.22, 0.13))
    affine[0, 1] += shear
    image_class = nibabel.Nifti2Image if is_nifti2 else nibabel.Nifti1Image
    header = image_class.header_class(endianness=">" if is_big_endian else "<")
    image = image_class(np.arange(60, dtype=np.int16).reshape(3, 4, 5), affine, header)
    image.set_qform(affine_of(ORIENTATIONS[17], tilt=(0.3, 0.2, 0.1)), code=qform)
    image.set_sform(affine, code=sform)
    image.to_filename(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("sform", "qform", "shear", "is_nifti2", "is_big_endian"),
    [(1, 0, 0, False, False), (0, 1, 0, False, False), (2, 1, 0, False, False), (0, 0, 0, False, False),
     (4, 3, 0.4, False, False), (0, 2, 0, True, False), (2, 1, 0, True, False), (0, 1, 0, False, True),
     (1, 1, 0, True, True)],
)  # fmt: skip
def test_nifti_results_have_the_sform_and_qform_of_their_query(
    suffix: str, sform: int, qform: int, shear: float, is_nifti2: bool, is_big_endian: bool, tmp_path: Path
) -> None:
    write_nifti(tmp_path / f"query{suffix}", sform, qform, shear, is_nifti2, is_big_endian)
    query = read(tmp_path / f"query{suffix}")
    write(LabelMap((query.voxels > 30).astype(np.int64), query.affine, query.header), tmp_path / f"result{suffix}")
    before, after = nibabel.load(tmp_path / f"query{suffix}"), nibabel.load(tmp_path / f"result{suffix}")
    assert query.affine.tobytes() == before.affine.tobytes() == after.affine.tobytes()
    for expected, written in zip(
        (*before.get_sform(coded=True), *before.get_qform(coded=True)),
        (*after.get_sform(coded=True), *after.get_qform(coded=True)),
        strict=True,
    ):
        np.testing.assert_array_equal(expected, written)
    assert type(before) is type(after)
    assert after.get_data_dtype() == np.uint8


def test_nifti_in_meters_is_read_in_millimeters_and_written_in_meters(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), np.diag([0.001, 0.002, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    image.to_filename(tmp_path / "query.nii")
    query = read(tmp_path / "query.nii")
    assert query.spacing == pytest.approx((1, 2, 3))
    write(query, tmp_path / "result.nii")
    assert nibabel.load(tmp_path / "result.nii").header.get_xyzt_units()[0] == "meter"
    assert same(read(tmp_path / "result.nii"), query)


def test_nifti_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    image.header.set_slope_inter(2, -1024)
    image.to_filename(tmp_path / "ct.nii.gz")
    assert (
        read(tmp_path / "ct.nii.gz").voxels[0, 0, 1]
        == nibabel.load(tmp_path / "ct.nii.gz").get_fdata()[0, 0, 1]
        == -1022
    )


@pytest.mark.parametrize("suffix", [*VOLUMES, ".png", ".tif", ".bmp"])
def test_every_format_keeps_label_values_exactly(suffix: str, tmp_path: Path) -> None:
    largest = {".bmp": 255, ".png": 65535, ".tif": 65535}.get(suffix, 2**31 - 1)
    for top in (1, 205, 1000, 65535, 100_000, 2**31 - 1):
        if top <= largest:
            labels = LabelMap(np.array([0, 1, top - 1, top]).reshape(2, 2, 1), np.diag([-1.0, -1.0, 1.0, 1.0]))
            write(labels, tmp_path / f"labels{suffix}")
            np.testing.assert_array_equal(read_labels(tmp_path / f"labels{suffix}").voxels, labels.voxels)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".npz"])
def test_labels_stored_as_whole_floats_are_read_and_fractions_are_refused(suffix: str, tmp_path: Path) -> None:
    write(Volume(np.arange(8.0).reshape(2, 2, 2), np.eye(4)), tmp_path / f"labels{suffix}")
    assert read_labels(tmp_path / f"labels{suffix}").voxels.tolist() == np.arange(8).reshape(2, 2, 2).tolist()
    write(Volume(np.arange(8.0).reshape(2, 2, 2) / 2, np.eye(4)), tmp_path / f"labels{suffix}")
    with pytest.raises(FileError, match="whole numbers"):
        read_labels(tmp_path / f"labels{suffix}")


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_metaimage_results_have_the_spacing_and_direction_of_their_query(suffix: str, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((5, 4, 3), np.int16))
    image.SetSpacing((0.7, 1.3, 3.1))
    image.SetDirection((0.866, -0.5, 0, 0.5, 0.866, 0, 0, 0, 1))  # not quite of length 1
    sitk.WriteImage(image, str(tmp_path / f"query{suffix}"))
    query = read(tmp_path / f"query{suffix}")
    write(query.like(query.canonical().voxels > 0), tmp_path / f"result{suffix}")
    result = sitk.ReadImage(str(tmp_path / f"result{suffix}"))
    assert result.GetSpacing() == image.GetSpacing()
    assert result.GetDirection() == image.GetDirection()


@pytest.mark.parametrize("shear", [1e-4, 0.004, 0.1, 0.7])
def test_nrrd_keeps_axes_that_are_not_at_right_angles(shear: float, tmp_path: Path) -> None:
    affine = affine_of(np.eye(3))
    affine[:3, :3] = affine[:3, :3] @ np.array([[1, shear, 0], [0, 1, shear / 2], [0, 0, 1]])
    write(volume_of(affine), tmp_path / "scan.nrrd")
    again = read(tmp_path / "scan.nrrd")
    np.testing.assert_allclose(again.affine, affine, atol=1e-12)
    assert np.array_equal(again.voxels, volume_of(affine).voxels)


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_formats_that_cannot_hold_sheared_axes_refuse_them(suffix: str, tmp_path: Path) -> None:
    affine = affine_of(np.eye(3))
    affine[0, 1] = 0.5
    with pytest.raises(GeometryError, match=r"write \.nii\.gz instead"):
        write(volume_of(affine), tmp_path / f"scan{suffix}")
    assert not list(tmp_path.iterdir())


def test_arrays_of_two_axes_or_with_a_last_axis_of_one_are_volumes(tmp_path: Path) -> None:
    nibabel.Nifti1Image(np.zeros((3, 4), np.float32), np.eye(4)).to_filename(tmp_path / "flat.nii")
    nibabel.Nifti1Image(np.zeros((3, 4, 5, 1), np.float32), np.eye(4)).to_filename(tmp_path / "long.nii")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 3), np.float32)), str(tmp_path / "flat.mha"))
    assert read(tmp_path / "flat.nii").shape == (3, 4, 1)
    assert read(tmp_path / "long.nii").shape == (3, 4, 5)
    assert read(tmp_path / "flat.mha").shape == (3, 4, 1)
    assert read(tmp_path / "flat.mha").axcodes == ("L", "P", "S")


@pytest.mark.parametrize(
    ("name", "suffix", "stem"),
    [("scan.nii.gz", ".nii.gz", "scan"), ("a.b.nii", ".nii", "a.b"), ("Scan.PNG", ".png", "Scan"),
     ("1.2.840.5", "", "1.2.840.5"),
     (".nii.gz", "", ".nii.gz"), ("x/y.z/scan.mha", ".mha", "scan"), ("case_0000.nrrd", ".nrrd", "case_0000")],
)  # fmt: skip
def test_names_are_split_into_stem_and_suffix(name: str, suffix: str, stem: str) -> None:
    assert (suffix_of(name), stem_of(name)) == (suffix, stem)
    assert (suffix_of(Path(name)), stem_of(Path(name))) == (suffix, stem)


def test_suffixes_in_capitals_are_read_and_written(tmp_path: Path) -> None:
    for name in ("A.NII.GZ", "A.MHA", "A.MHD", "A.NRRD", "A.NPZ", "A.H5"):
        write(volume_of(np.eye(4)), tmp_path / name)
        np.testing.assert_array_equal(read(tmp_path / name).voxels, volume_of(np.eye(4)).voxels)


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-4, 50), st.floats(-20, 20), st.lists(st.integers(0, 300), min_size=2, max_size=6, unique=True))
def test_labels_are_read_as_a_header_scales_them(slope: float, intercept: float, values: list[int]) -> None:
    """A header's scale, of single precision, leaves labels a little off their whole numbers."""
    stored = (np.array(values) - intercept) / slope
    image = nibabel.Nifti1Image(stored.astype(np.float32).reshape(-1, 1, 1), np.eye(4))
    content = bytearray(image.to_bytes())
    content[112:116], content[116:120] = np.float32(slope).tobytes(), np.float32(intercept).tobytes()
    labels = as_labels(nibabel.Nifti1Image.from_bytes(bytes(content)))
    assert labels.voxels.ravel().tolist() == values


def test_labels_that_are_fractions_are_refused() -> None:
    with pytest.raises(FileError, match="holds fractions"):
        as_labels(nibabel.Nifti1Image(np.full((2, 2, 2), 0.4, np.float32), np.eye(4)))
