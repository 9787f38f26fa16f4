"""Files are read into layers and written from them with the same voxels at the same position."""

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Labels

import mvg
from mvg.imaging.volume import LabelMap, Volume
from mvg.napari_plugin.files import reader_of, write_image, write_labels

AFFINE = np.array([[-0.8, 0, 0, 30], [0, 0, 2.5, -60], [0, 0.9, 0, 4], [0, 0, 0, 1]])


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_an_image_that_was_read_is_written_as_it_was(tmp_path: Path, suffix: str) -> None:
    voxels = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    source, target = tmp_path / f"scan{suffix}", tmp_path / f"copy{suffix}"
    mvg.write(Volume(voxels, AFFINE), source)
    read = reader_of(str(source))
    assert read is not None
    ((array, settings, kind),) = read(str(source))
    assert (kind, settings["name"]) == ("image", "scan")
    assert write_image(str(target), array, settings) == [str(target)]
    copy = mvg.read(target)
    assert np.array_equal(copy.voxels, voxels)
    assert np.allclose(copy.affine, AFFINE, atol=1e-5)


def test_labels_are_written_on_the_grid_of_their_image(tmp_path: Path) -> None:
    labels = np.zeros((4, 5, 6), np.int32)
    labels[1, 2, 3] = 300
    mvg.write(Volume(labels.astype(np.float32), AFFINE), tmp_path / "scan.nii.gz")
    read = reader_of(str(tmp_path / "scan.nii.gz"))
    assert read is not None
    ((array, settings, _),) = read(str(tmp_path / "scan.nii.gz"))
    layer = Labels(array.astype(np.int32), affine=settings["affine"])
    write_labels(str(tmp_path / "labels.nii.gz"), layer.data, layer.as_layer_data_tuple()[1])
    label_map = mvg.read_labels(tmp_path / "labels.nii.gz")
    assert np.array_equal(label_map.voxels, labels)
    assert label_map.same_grid(LabelMap(labels, AFFINE))


def test_several_files_are_left_to_napari() -> None:
    assert reader_of(["a.nii", "b.nii"]) is None
