"""Layers are volumes on the same grid, in every orientation."""

import itertools

import numpy as np
import pytest
from napari.layers import Image, Labels

from mvg.errors import GeometryError
from mvg.imaging.volume import LabelMap, Volume
from mvg.napari_plugin.geometry import label_map_of, layer_affine, layer_array, volume_of

ORIENTATIONS = [
    np.diag(signs) @ np.eye(3)[list(order)]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.mark.parametrize("turned", ORIENTATIONS)
def test_a_layer_made_from_a_volume_is_that_volume(turned: np.ndarray) -> None:
    affine = np.eye(4)
    affine[:3, :3] = turned @ np.diag([0.7, 1.1, 3.0])
    affine[:3, 3] = [12.5, -40, 7]
    voxels = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    volume = Volume(voxels, affine)
    back = volume_of(Image(layer_array(volume), affine=layer_affine(volume)))
    assert np.array_equal(back.voxels, volume.voxels)
    assert np.allclose(back.affine, affine, atol=1e-9)
    assert back.axcodes == volume.axcodes


def test_labels_have_the_grid_of_their_image_and_keep_their_values() -> None:
    affine = np.array([[0, 0, 2.0, 5], [-1, 0, 0, 6], [0, 1.5, 0, 7], [0, 0, 0, 1]])
    labels = np.zeros((3, 4, 5), np.int32)
    labels[1, 2, 3] = 700
    expected = LabelMap(labels, affine)
    label_map = label_map_of(Labels(layer_array(expected), affine=layer_affine(expected)))
    assert np.array_equal(label_map.voxels, labels)
    assert label_map.same_grid(expected)


def test_scale_and_place_of_a_layer_of_another_program_count() -> None:
    volume = volume_of(Image(np.zeros((6, 5, 4)), scale=(3, 2, 1), translate=(10, 20, 30)))
    assert volume.shape == (4, 5, 6)
    assert volume.spacing == (1, 2, 3)
    assert np.allclose(volume.affine[:3, 3], [-30, -20, 10])


def test_a_picture_is_a_single_slice_and_keeps_its_colors() -> None:
    gray = volume_of(Image(np.arange(12.0).reshape(3, 4), scale=(0.5, 0.25)))
    assert gray.shape == (4, 3, 1)
    assert gray.spacing[:2] == (0.25, 0.5)
    assert gray.voxels[3, 0, 0] == 3
    colors = np.random.default_rng(0).integers(0, 255, (3, 4, 4), dtype=np.uint8)
    color = volume_of(Image(colors, rgb=True))
    assert (color.shape, color.channels) == ((4, 3, 1), 3)
    assert color.voxels[1, 2, 0].tolist() == colors[2, 1, :3].tolist()


def test_more_than_three_axes_are_refused_in_one_line() -> None:
    with pytest.raises(GeometryError, match="4 axes"):
        volume_of(Image(np.zeros((2, 3, 4, 5))))
