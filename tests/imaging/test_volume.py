"""Volumes: orientation, pictures and resampling, tested in all orientations."""

import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

from mvg.errors import GeometryError
from mvg.imaging import LabelMap, Plane, Volume
from tests.imaging.grids import ORIENTATIONS, affine_of, affines, labels_of, same, shapes, volume_of

PLANES: list[Plane] = ["axial", "coronal", "sagittal"]


def values_by_position(volume: Volume | LabelMap) -> dict[tuple[float, ...], float]:
    """Position in the patient (mm) -> value, for every voxel."""
    index = np.indices(volume.shape).reshape(3, -1)
    points = np.round(volume.affine[:3, :3] @ index + volume.affine[:3, 3:], 4) + 0.0
    return {tuple(point): float(value) for point, value in zip(points.T, volume.voxels.ravel(), strict=True)}


def test_arrays_are_read_only_copies() -> None:
    array = np.zeros((2, 3, 4), np.float32)
    volume = Volume(array, np.eye(4))
    array[0] = 1
    assert volume.voxels.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        volume.voxels[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0] = 1
    with pytest.raises(FrozenInstanceError):
        volume.voxels = array  # type: ignore[misc]


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 4, 5, 2, 2), (0, 4, 5), (3, 4, 5, 0)])
def test_arrays_without_three_axes_of_positive_length_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GeometryError, match="three axes"):
        Volume(np.zeros(shape), np.eye(4))
    with pytest.raises(GeometryError, match="three axes"):
        LabelMap(np.zeros(shape, np.uint8), np.eye(4))


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.eye(3), np.full((4, 4), np.nan), np.diag([1, 1, 0, 1])])
def test_affines_that_are_not_invertible_are_refused(affine: NDArray[np.float64]) -> None:
    with pytest.raises(GeometryError, match="invertible"):
        Volume(np.zeros((2, 2, 2)), affine)


def test_label_maps_of_floats_are_refused() -> None:
    with pytest.raises(GeometryError, match="integer"):
        LabelMap(np.zeros((2, 2, 2)), np.eye(4))


def test_label_values_are_listed_without_background() -> None:
    assert labels_of(np.eye(4)).values == (1, 3, 205, 1000, 65535)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_canonical_axes_point_left_posterior_superior(orientation: NDArray[np.float64]) -> None:
    volume = volume_of(affine_of(orientation))
    canonical = volume.canonical()
    assert volume.axcodes == aff2axcodes(volume.affine)
    assert canonical.axcodes == ("L", "P", "S")
    assert canonical.spacing == pytest.approx([volume.spacing[np.abs(orientation[axis]).argmax()] for axis in range(3)])
    assert values_by_position(canonical) == values_by_position(volume)


@given(affines(), shapes)
def test_like_undoes_canonical(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> None:
    for original in (volume_of(affine, shape), labels_of(affine, shape)):
        canonical = original.canonical()
        assert canonical.axcodes == ("L", "P", "S")
        assert same(original.like(canonical.voxels), original)
        assert canonical.canonical().affine == pytest.approx(canonical.affine)


@given(affines(), shapes, st.sampled_from(PLANES))
def test_from_pictures_undoes_pictures(affine: NDArray[np.float64], shape: tuple[int, int, int], plane: Plane) -> None:
    for original in (volume_of(affine, shape), labels_of(affine, shape)):
        pictures = original.pictures(plane)
        assert same(original.from_pictures(pictures, plane), original)
        assert same(original.from_pictures(pictures.copy(), plane), original)


@pytest.mark.parametrize("orientation", ORIENTATIONS[::5])
def test_pictures_are_in_radiological_display_convention(orientation: NDArray[np.float64]) -> None:
    blank = volume_of(affine_of(orientation, (1.0, 1.0, 1.0)), (7, 7, 7))
    index = np.indices(blank.shape).reshape(3, -1)
    right, front, up = (blank.affine[:3, :3] @ index + blank.affine[:3, 3:]).reshape(3, *blank.shape)
    for plane, rows, cols in (
        ("axial", -front, -right), ("coronal", -up, -right), ("sagittal", -up, -front),
    ):  # fmt: skip
        down = Volume(rows, blank.affine).pictures(plane)
        across = Volume(cols, blank.affine).pictures(plane)
        np.testing.assert_allclose(np.diff(down, axis=1), 1, rtol=1e-4, err_msg=plane)
        np.testing.assert_allclose(np.diff(across, axis=2), 1, rtol=1e-4, err_msg=plane)


def test_pixel_spacing_follows_the_pictures() -> None:
    volume = volume_of(affine_of(np.eye(3)))
    assert volume.pixel_spacing("axial") == pytest.approx((1.3, 0.7))
    assert volume.pixel_spacing("coronal") == pytest.approx((3.1, 0.7))
    assert volume.pixel_spacing("sagittal") == pytest.approx((3.1, 1.3))


@pytest.mark.parametrize("orientation", ORIENTATIONS[::7])
@pytest.mark.parametrize(
    ("world_spacing", "plane"),
    [
        ((1, 1, 5), "axial"),
        ((1, 5, 1), "coronal"),
        ((5, 1, 1), "sagittal"),
        ((1, 1, 1), "axial"),
        ((1, 1.2, 1.2), "axial"),
    ],
)
def test_plane_is_cut_across_the_coarsest_axis(
    orientation: NDArray[np.float64], world_spacing: tuple[float, ...], plane: Plane
) -> None:
    array_spacing = np.abs(orientation).T @ world_spacing
    assert volume_of(affine_of(orientation, tuple(array_spacing))).plane == plane


def test_the_plane_of_a_single_slice_is_that_of_the_slice() -> None:
    assert volume_of(np.diag([1, 1, 9, 1]), (5, 1, 6)).plane == "coronal"
    assert volume_of(np.diag([1, 1, 9, 1]), (1, 5, 6)).plane == "sagittal"
    assert volume_of(np.diag([1, 9, 1, 1]), (5, 6, 1)).plane == "axial"


def test_pictures_of_another_shape_are_refused() -> None:
    volume = volume_of(affine_of(ORIENTATIONS[13]))
    with pytest.raises(GeometryError, match="canonical"):
        volume.like(np.zeros((9, 9, 9)))
    with pytest.raises(GeometryError, match="axial"):
        volume.from_pictures(np.zeros((9, 9, 9)), "axial")


def test_same_grid_compares_shape_and_position() -> None:
    volume = volume_of(affine_of(np.eye(3)))
    moved = volume.affine.copy()
    moved[0, 3] += 0.1
    assert volume.same_grid(labels_of(volume.affine))
    assert not volume.same_grid(volume_of(moved))
    assert not volume.same_grid(volume_of(volume.affine, (4, 5, 7)))


@given(affines(), shapes)
def test_resampling_to_the_same_grid_changes_nothing(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> None:
    volume, labels = volume_of(affine, shape), labels_of(affine, shape)
    assert same(volume.resample(labels), volume)
    assert same(labels.resample(volume), labels)


@given(affines(), shapes)
def test_resampling_to_canonical_and_back_is_exact(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> None:
    volume, labels = volume_of(affine, shape), labels_of(affine, shape)
    canonical = volume.resample(volume.canonical())
    np.testing.assert_allclose(canonical.voxels, volume.canonical().voxels, atol=1e-3)
    np.testing.assert_allclose(canonical.resample(volume).voxels, volume.voxels, atol=1e-3)
    assert same(labels.resample(labels.canonical()).resample(labels), labels)


def test_resampling_interpolates_images_but_not_labels() -> None:
    fine = Volume(np.zeros((7, 5, 6)), affine_of(np.eye(3), (0.35, 1.3, 3.1)))
    half = volume_of(affine_of(np.eye(3))).resample(fine)
    np.testing.assert_allclose(half.voxels[1], (half.voxels[0] + half.voxels[2]) / 2)
    labels = labels_of(affine_of(np.eye(3))).resample(fine)
    assert set(np.unique(labels.voxels)) <= {0, 1, 205, 1000, 3, 65535}
    assert labels.voxels.dtype == np.int32


def test_resampling_outside_of_the_grid_gives_the_minimum_or_background() -> None:
    far = affine_of(np.eye(3))
    far[:3, 3] += 1000
    assert (volume_of(affine_of(np.eye(3))).resample(volume_of(far)).voxels == -20).all()
    assert (labels_of(affine_of(np.eye(3))).resample(volume_of(far)).voxels == 0).all()


def test_volumes_can_be_pickled() -> None:
    volume = volume_of(affine_of(ORIENTATIONS[3]))
    assert same(pickle.loads(pickle.dumps(volume)), volume)
