"""Images of other libraries, paths and arrays become the same Volume and LabelMap, in every orientation."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given
from numpy.typing import NDArray

from mvg.errors import FileError, GeometryError
from mvg.imaging.conversion import as_labels, as_volume, is_image
from mvg.imaging.files import read, read_labels, write
from mvg.imaging.volume import LabelMap, Volume
from tests.imaging.grids import ORIENTATIONS, affine_of, affines, labels_of, same, volume_of

TILTS = ((0.0, 0.0, 0.0), (0.3, -0.2, 0.5))


def itk_image(voxels: NDArray[Any], affine: NDArray[np.float64]) -> Any:
    """The image of SimpleITK with these voxels (X, Y, Z) at these positions."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_file_and_its_images_are_one_volume(
    orientation: NDArray[Any], tilt: tuple[float, float, float], tmp_path: Path
) -> None:
    volume = volume_of(affine_of(orientation, tilt=tilt))
    for suffix in (".nii.gz", ".mha"):
        path = tmp_path / f"image{suffix}"
        write(volume, path)
        from_path, from_itk = as_volume(path), as_volume(sitk.ReadImage(str(path)))
        assert same(from_path, read(path))
        assert np.array_equal(from_itk.voxels, from_path.voxels)
        assert np.allclose(from_itk.affine, from_path.affine, rtol=0, atol=1e-5)
        if suffix == ".mha":
            assert same(from_itk, from_path)
        else:
            from_nibabel = as_volume(nib.load(path))
            assert same(from_nibabel, from_path)
            assert from_nibabel.header == from_path.header is not None


@given(affine=affines())
def test_positions_in_the_patient_are_those_of_simpleitk(affine: NDArray[np.float64]) -> None:
    """Every voxel lies where SimpleITK itself says, in LPS."""
    volume = volume_of(affine)
    image = itk_image(volume.voxels, affine)
    converted = as_volume(image)
    for index in ((0, 0, 0), (3, 4, 5), (1, 0, 2)):
        point = np.array(image.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
        assert np.allclose(converted.affine @ [*index, 1], [*point, 1], atol=1e-6)
        assert converted.voxels[index] == image[index]


@given(affine=affines())
def test_an_image_of_nibabel_in_memory_keeps_its_affine(affine: NDArray[np.float64]) -> None:
    """Its header holds the affine in 32 bits only."""
    volume = as_volume(nib.Nifti1Image(volume_of(affine).voxels, affine))
    assert volume.affine.tobytes() == affine.tobytes()


def test_a_header_that_describes_another_affine_is_not_kept(tmp_path: Path) -> None:
    image = nib.Nifti1Image(volume_of(np.eye(4)).voxels, affine_of(ORIENTATIONS[4], tilt=TILTS[1]))
    volume = as_volume(image)
    assert volume.header is None
    write(volume, tmp_path / "a.nii")
    assert np.allclose(read(tmp_path / "a.nii").affine, image.affine, atol=1e-5)


def test_units_of_a_header_are_heeded(tmp_path: Path) -> None:
    affine = np.diag([0.001, 0.001, 0.001, 1]) @ affine_of(ORIENTATIONS[5])
    image = nib.Nifti1Image(volume_of(affine).voxels, affine)
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "a.nii")
    assert np.allclose(as_volume(image).spacing, (0.7, 1.3, 3.1))
    assert same(as_volume(nib.load(tmp_path / "a.nii")), read(tmp_path / "a.nii"))


def test_scaled_and_other_images_of_nibabel(tmp_path: Path) -> None:
    volume = volume_of(affine_of(ORIENTATIONS[7]))
    image = nib.Nifti1Image(volume.voxels, volume.affine)
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "scaled.nii")
    assert same(as_volume(nib.load(tmp_path / "scaled.nii")), read(tmp_path / "scaled.nii"))
    mgh = nib.MGHImage(volume.voxels, volume.affine)
    assert np.array_equal(as_volume(mgh).voxels, volume.voxels)
    assert np.allclose(as_volume(mgh).affine, volume.affine, atol=1e-5)


@pytest.mark.parametrize("tilt", TILTS)
def test_labels(tilt: tuple[float, float, float], tmp_path: Path) -> None:
    labels = labels_of(affine_of(ORIENTATIONS[13], tilt=tilt))
    path = tmp_path / "labels.nii.gz"
    write(labels, path)
    expected = read_labels(path)
    floats = expected.voxels.astype(np.float64)
    assert as_labels(expected) is expected
    for image in (
        path, str(path), nib.load(path), (expected.voxels, expected.affine), (floats, expected.affine),
        Volume(floats, expected.affine), nib.Nifti1Image(floats, expected.affine),
    ):  # fmt: skip
        assert np.array_equal(as_labels(image).voxels, expected.voxels)
        assert as_labels(image).affine.tobytes() == expected.affine.tobytes()
    from_itk = as_labels(sitk.ReadImage(str(path)))
    assert np.array_equal(from_itk.voxels, expected.voxels)
    assert from_itk.same_grid(expected)


def test_arrays_with_an_affine() -> None:
    volume = volume_of(affine_of(ORIENTATIONS[3]))
    assert same(as_volume((volume.voxels, volume.affine)), volume)
    assert as_volume(volume) is volume
    channels = np.stack([volume.voxels] * 2, axis=-1)
    assert as_volume((channels, volume.affine)).channels == 2


def test_the_callers_array_stays_the_callers() -> None:
    image = itk_image(volume_of(np.eye(4)).voxels, np.eye(4))
    array = np.zeros((2, 2, 2), np.float32)
    volume, from_itk = as_volume((array, np.eye(4))), as_volume(image)
    array[:], image[0, 0, 0] = 1, 999
    assert not volume.voxels.any()
    assert from_itk.voxels.max() < 999


def test_colors_of_a_picture() -> None:
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    volume = as_volume(sitk.GetImageFromArray(pixels, isVector=True))
    assert (volume.shape, volume.channels) == ((4, 5, 1), 3)
    assert np.array_equal(volume.voxels[:, :, 0].transpose(1, 0, 2), pixels)


class TestBadInput:
    @pytest.mark.parametrize(
        "image",
        [
            None, 3, [1, 2], np.zeros((3, 3, 3)), (np.zeros((3, 3, 3)),), (np.zeros((3, 3, 3)), "affine"),
            (1, 2), (), ([[1], [1, 2]], np.eye(4)), nib.Nifti1Header(), sitk.Euler3DTransform(),
            nib.Nifti1Image(np.zeros((3, 3, 3)), None), LabelMap(np.zeros((3, 3, 3), np.uint8), np.eye(4)),
        ],
    )  # fmt: skip
    def test_other_types_are_one_line(self, image: Any) -> None:
        if isinstance(image, nib.Nifti1Image):  # without an affine, nibabel takes that of the header
            image._affine = None
        with pytest.raises(GeometryError, match=r"the query is .*expected .*\(array, affine\)") as error:
            as_volume(image, "the query")
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.eye(3), np.full((4, 4), np.nan)])
    def test_affines_that_are_none(self, affine: NDArray[np.float64]) -> None:
        with pytest.raises(GeometryError, match="affine"):
            as_volume((np.zeros((3, 3, 3)), affine))

    def test_several_images_in_one(self) -> None:
        with pytest.raises(FileError, match="the query is 4D"):
            as_volume(nib.Nifti1Image(np.zeros((3, 3, 3, 2)), np.eye(4)), "the query")
        with pytest.raises(FileError, match="the query is 4D"):
            as_volume(sitk.Image([3, 3, 3, 2], sitk.sitkFloat32), "the query")

    def test_fractions_are_no_labels(self) -> None:
        with pytest.raises(FileError, match="the label map holds fractions"):
            as_labels(nib.Nifti1Image(np.full((3, 3, 3), 0.5), np.eye(4)))

    def test_voxels_that_are_gone(self, tmp_path: Path) -> None:
        write(volume_of(np.eye(4)), tmp_path / "a.nii")
        image = nib.load(tmp_path / "a.nii")
        (tmp_path / "a.nii").unlink()
        with pytest.raises(FileError, match="the image cannot be read"):
            as_volume(image)

    def test_paths(self, tmp_path: Path) -> None:
        with pytest.raises(FileError, match="no file or folder"):
            as_volume(tmp_path / "gone.nii.gz")


def test_single_images_are_told_from_sequences() -> None:
    volume = volume_of(np.eye(4))
    single = (volume, "a.nii", Path("a.nii"), volume.voxels, nib.Nifti1Image(volume.voxels, np.eye(4)), sitk.Image())
    assert all(is_image(image) for image in single)
    assert not any(is_image(images) for images in ([volume], (volume, volume), []))


def test_simpleitk_is_not_imported_for_others() -> None:
    code = (
        "import sys, numpy; from mvg.imaging.conversion import as_volume; as_volume((numpy.ones((2, 2, 2)), "
        "numpy.eye(4))); sys.exit('SimpleITK' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
