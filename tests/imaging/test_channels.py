"""Every operation on a volume with several channels treats each channel like a volume with one."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mvg.errors import GeometryError
from mvg.imaging import LabelMap, Plane, Volume, luminance
from tests.imaging.grids import ORIENTATIONS, affine_of, affines, labels_of, same, shapes, volume_of

PLANES: list[Plane] = ["axial", "coronal", "sagittal"]
tilts = st.sampled_from([(0.0, 0.0, 0.0), (0.3, -0.2, 0.1)])


def channels_of(affine: NDArray[np.float64], shape: tuple[int, int, int] = (4, 5, 6), count: int = 3) -> Volume:
    """A volume whose channels differ in every voxel."""
    one = volume_of(affine, shape).voxels
    return Volume(np.stack([one * (k + 1) + k for k in range(count)], axis=-1), affine)


def channel(volume: Volume, number: int) -> Volume:
    return Volume(volume.voxels[..., number], volume.affine, volume.header)


OPERATIONS: dict[str, Callable[[Volume], Volume]] = {
    "canonical": lambda volume: volume.canonical(),
    "like": lambda volume: volume.like(volume.canonical().voxels * 2),  # type: ignore[dict-item,return-value]
    "resample": lambda volume: volume.resample(volume_of(affine_of(np.eye(3), (1.1, 2.3, 0.9)), (9, 3, 8))),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("operation", OPERATIONS)
@given(shapes, st.integers(2, 4), tilts)
@settings(max_examples=5, deadline=None)
def test_every_channel_is_treated_like_a_separate_volume(
    orientation: NDArray[np.float64],
    operation: str,
    shape: tuple[int, int, int],
    count: int,
    tilt: tuple[float, float, float],
) -> None:
    volume = channels_of(affine_of(orientation, tilt=tilt), shape, count)
    outside = volume.voxels.min()  # one value for all channels where the grids do not overlap
    result = OPERATIONS[operation](volume)
    assert result.channels == count
    for number in range(count):
        single = OPERATIONS[operation](channel(volume, number))
        voxels = channel(result, number).voxels
        inside = (voxels != outside) & (single.voxels != single.voxels.min())
        np.testing.assert_allclose(voxels[inside], single.voxels[inside], rtol=1e-6)
        np.testing.assert_array_equal(result.affine, single.affine)
        assert operation == "resample" or same(channel(result, number), single)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("plane", PLANES)
@given(shapes, st.integers(2, 4), tilts)
@settings(max_examples=5, deadline=None)
def test_pictures_have_channels_before_rows_and_convert_back(
    orientation: NDArray[np.float64],
    plane: Plane,
    shape: tuple[int, int, int],
    count: int,
    tilt: tuple[float, float, float],
) -> None:
    volume = channels_of(affine_of(orientation, tilt=tilt), shape, count)
    pictures = volume.pictures(plane)
    assert pictures.ndim == 4
    for number in range(count):
        np.testing.assert_array_equal(pictures[:, number], channel(volume, number).pictures(plane))
    assert same(volume.from_pictures(pictures, plane), volume)
    assert same(volume.from_pictures(pictures.copy(), plane), volume)


@given(affines(), shapes)
def test_geometry_does_not_depend_on_channels(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> None:
    one, several = volume_of(affine, shape), channels_of(affine, shape)
    assert (one.channels, several.channels) == (1, 3)
    assert (one.shape, one.spacing, one.plane, one.axcodes) == (
        several.shape, several.spacing, several.plane, several.axcodes,
    )  # fmt: skip
    assert one.same_grid(several)
    assert all(one.pixel_spacing(plane) == several.pixel_spacing(plane) for plane in PLANES)


def test_predictions_can_have_fewer_channels_than_their_image() -> None:
    volume = channels_of(affine_of(ORIENTATIONS[29]))
    labels = volume.from_pictures(volume.pictures("coronal")[:, 0] > 3, "coronal")
    assert isinstance(labels, LabelMap)
    np.testing.assert_array_equal(labels.voxels, volume.voxels[..., 0] > 3)
    with pytest.raises(GeometryError, match="coronal"):
        volume.from_pictures(volume.pictures("coronal")[..., :1, :], "coronal")


def test_a_channel_axis_of_length_one_is_dropped() -> None:
    volume = Volume(np.ones((2, 3, 4, 1)), np.eye(4))
    assert volume.channels == 1
    assert volume.pictures("axial").ndim == 3


def test_label_maps_with_channels_are_refused() -> None:
    with pytest.raises(GeometryError, match="labels of shape"):
        LabelMap(np.zeros((2, 3, 4, 3), np.uint8), np.eye(4))


def test_luminance_weighs_red_green_and_blue() -> None:
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [10, 20, 30]], np.float32)
    gray = luminance(Volume(colors.reshape(5, 1, 1, 3), affine_of(np.eye(3))))
    assert gray.channels == 1
    np.testing.assert_allclose(gray.voxels.ravel(), [76.245, 149.685, 29.07, 255, 18.15], rtol=1e-5)
    assert gray.affine.tobytes() == affine_of(np.eye(3)).tobytes()


def test_luminance_of_one_channel_is_the_image_itself() -> None:
    volume = volume_of(np.eye(4))
    assert luminance(volume) is volume
    with pytest.raises(GeometryError, match="2 channels"):
        luminance(channels_of(np.eye(4), count=2))


def test_resampling_takes_the_nearest_label_and_extends_edges_by_half_a_voxel() -> None:
    """At ties the later voxel counts; more than half a voxel outside of the grid is background."""
    labels = labels_of(np.eye(4), (6, 1, 1))
    grid = Volume(np.zeros((16, 1, 1)), np.array([[0.5, 0, 0, -1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    values = labels.voxels.ravel().tolist()
    expected = [
        0,
        values[0],
        *[value for pair in zip(values, [*values[1:], values[-1]], strict=True) for value in pair],
    ]
    assert labels.resample(grid).voxels.ravel().tolist() == [*expected, 0, 0]
    image = Volume(np.arange(6.0).reshape(6, 1, 1) + 1, np.eye(4)).resample(grid).voxels.ravel()
    np.testing.assert_allclose(image, [1, 1, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6, 1, 1], rtol=1e-6)
