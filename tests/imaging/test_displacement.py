"""Fields warp images and labels, and SimpleITK reads their files and warps to the same image."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from mvg.errors import FileError, GeometryError
from mvg.imaging.displacement import DisplacementField, is_field, read_field, write_field
from mvg.imaging.files import read, write
from mvg.imaging.volume import LabelMap, Volume

OBLIQUE = np.array([[-1.5, 0.3, 0, 20], [-0.3, -1.5, 0, 25], [0, 0, 4.0, -9], [0, 0, 0, 1]])
PLAIN = np.array([[0, 2.0, 0, -18], [1.8, 0, 0, -16], [0, 0, 3.0, -10], [0, 0, 0, 1]])


def smooth_volume(shape: tuple[int, int, int], affine: np.ndarray) -> Volume:
    """An image that is a smooth function of the position in space."""
    points = np.einsum("ij,jxyz->ixyz", affine[:3, :3], np.indices(shape)) + affine[:3, 3].reshape(3, 1, 1, 1)
    return Volume(50 + 20 * np.sin(points[0] / 6) + 15 * np.cos(points[1] / 7) + points[2], affine)


@pytest.fixture
def field() -> DisplacementField:
    """A field on an oblique grid; its three components differ."""
    fixed = smooth_volume((24, 22, 7), OBLIQUE)
    x, y, z = np.indices(fixed.shape)
    vectors = np.stack([3 * np.sin(y / 8), 2 + np.cos(x / 9), 0.5 * z - 1], axis=-1)
    return DisplacementField(vectors.astype(np.float32), fixed)


def test_simpleitk_warps_to_the_same_image(field: DisplacementField, tmp_path: Path) -> None:
    moving = smooth_volume((26, 20, 9), PLAIN)
    write(moving, tmp_path / "moving.nii.gz")
    write(field.fixed, tmp_path / "fixed.nii.gz")
    write_field(field, tmp_path / "field.nii.gz")
    header = nibabel.load(tmp_path / "field.nii.gz").header
    assert int(header["intent_code"]) == 1006
    assert header.get_data_shape() == (24, 22, 7, 1, 3)
    vectors = sitk.ReadImage(str(tmp_path / "field.nii.gz"), sitk.sitkVectorFloat64)
    transform = sitk.DisplacementFieldTransform(vectors)
    images = [sitk.ReadImage(str(tmp_path / f"{name}.nii.gz")) for name in ("moving", "fixed")]
    warped = sitk.Resample(*images, transform, sitk.sitkLinear, -1000.0)
    theirs, ours = sitk.GetArrayFromImage(warped).transpose(2, 1, 0), field.warp(moving).voxels
    inside = theirs > -1000
    assert inside.mean() > 0.3
    assert np.abs(theirs - ours)[inside].max() < 0.01
    unmoved = sitk.GetArrayFromImage(sitk.Resample(*images)).transpose(2, 1, 0)
    assert np.abs(unmoved - ours)[inside].max() > 5, "the field does something"


def test_a_shift_by_whole_voxels_is_exact() -> None:
    rng = np.random.default_rng(0)
    labels = LabelMap(rng.integers(0, 2**40, (6, 5, 4)), np.diag([2.0, 2, 2, 1]))
    fixed = Volume(rng.normal(size=(6, 5, 4)), labels.affine)
    vectors = np.zeros((6, 5, 4, 3), np.float32)
    vectors[..., 0], vectors[..., 1] = -2, 4  # LPS: one voxel along x, two back along y
    field = DisplacementField(vectors, fixed)
    warped, image = field.warp_labels(labels), field.warp(fixed)
    assert np.array_equal(warped.voxels[:-1, 2:], labels.voxels[1:, :-2])
    assert np.allclose(image.voxels[:-1, 2:], fixed.voxels[1:, :-2], atol=1e-5)
    assert (warped.voxels[-1] == 0).all(), "background outside"
    assert np.allclose(image.voxels[:, :2], fixed.voxels.min()), "the minimum outside"
    assert warped.voxels.dtype == labels.voxels.dtype


def test_folds_are_counted() -> None:
    fixed = Volume(np.zeros((10, 10, 10)) + np.arange(10), np.diag([-2.0, 1, 1, 1]))
    still = DisplacementField(np.zeros((10, 10, 10, 3), np.float32), fixed)
    assert still.folded == 0
    assert np.allclose(still.determinants(), 1)
    vectors = np.zeros((10, 10, 10, 3), np.float32)
    vectors[..., 0] = -1.5 * 2 * np.arange(10)[:, None, None]  # LPS, along the axis, whose direction is left
    assert DisplacementField(vectors, fixed).folded == 1
    vectors[..., 0] *= -1
    assert np.allclose(DisplacementField(vectors, fixed).determinants(), 2.5)


def test_files_return_as_they_were(field: DisplacementField, tmp_path: Path) -> None:
    write_field(field, tmp_path / "field.nii.gz")
    assert is_field(tmp_path / "field.nii.gz")
    again = read_field(tmp_path / "field.nii.gz", field.fixed)
    assert np.array_equal(again.vectors, field.vectors)
    image = nibabel.load(tmp_path / "field.nii.gz")
    assert np.allclose(image.affine, OBLIQUE)
    header = image.header.copy()
    header.set_intent(1007)
    plain = nibabel.Nifti1Image(field.vectors[:, :, :, None], None, header)
    plain.to_filename(tmp_path / "ants.nii.gz")
    assert np.array_equal(read_field(tmp_path / "ants.nii.gz", field.fixed).vectors, field.vectors)


def test_other_files_are_no_fields(field: DisplacementField, tmp_path: Path) -> None:
    write(field.fixed, tmp_path / "image.nii.gz")
    assert not is_field(tmp_path / "image.nii.gz")
    assert not is_field(tmp_path / "image.png")
    with pytest.raises(FileError, match=r"intent 0; expected vectors"):
        read_field(tmp_path / "image.nii.gz", field.fixed)
    write_field(field, tmp_path / "field.nii.gz")
    with pytest.raises(GeometryError, match="on another grid"):
        read_field(tmp_path / "field.nii.gz", smooth_volume((24, 22, 7), PLAIN))
    with pytest.raises(FileError, match="could not be written"):
        write_field(field, tmp_path / "missing" / "field.nii.gz")
    assert read(tmp_path / "image.nii.gz").shape == (24, 22, 7)
