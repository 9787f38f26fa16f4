"""RAS order: all orientations, volumes, slices and indices, against nibabel."""

import nibabel
import numpy as np
import pytest
from hypothesis import given

from mvg.errors import GeometryError, PromptError
from mvg.server.diffs import check_number, from_runs, packed, unpacked
from mvg.server.ras import RasGrid
from tests.imaging.grids import ORIENTATIONS, affine_of, affines, shapes

SHAPE = (4, 5, 6)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation(orientation: np.ndarray) -> None:
    affine, array = affine_of(orientation, tilt=(0.1, 0.2, 0.1)), np.arange(120).reshape(SHAPE)
    grid = RasGrid(SHAPE, affine)
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(array.astype(np.int32), affine))
    ras = grid.to_ras(array)
    assert np.array_equal(ras, np.asarray(image.dataobj))
    assert np.allclose(grid.affine, image.affine)
    assert ras.shape == grid.shape
    assert np.array_equal(grid.to_native(ras), array)
    for axis in range(3):
        for index in range(grid.shape[axis]):
            native = array.take(grid.native_index(axis, index), grid.axes[axis])
            assert np.array_equal(grid.slice_to_native(axis, ras.take(index, axis)), native)
            assert np.array_equal(grid.slice_to_ras(axis, native), ras.take(index, axis))
            assert grid.native_index(axis, grid.native_index(axis, index)) == index


@given(affines(), shapes)
def test_there_and_back(affine: np.ndarray, shape: tuple[int, int, int]) -> None:
    grid, array = RasGrid(shape, affine), np.arange(np.prod(shape)).reshape(shape)
    assert np.array_equal(grid.to_native(grid.to_ras(array)), array)
    codes = nibabel.aff2axcodes(grid.affine)
    assert len(set(codes)) == 3
    assert np.allclose(grid.spacing, np.linalg.norm(grid.affine[:3, :3], axis=0))


def test_slices_are_listed_with_the_lower_axis_fastest() -> None:
    pixels = np.array([[0, 1, 2], [3, 4, 255]], np.uint8)
    assert np.array_equal(unpacked(packed(pixels), (2, 3)), pixels)
    assert from_runs([(0, 3, 7)], 255, (2, 3)).tolist() == [[7, 7, 255], [7, 255, 255]]
    assert from_runs([(0, 6, 1), (2, 1, 2)], 0, (2, 3)).tolist() == [[1, 2, 1], [1, 1, 1]]


def test_bad_runs_and_numbers() -> None:
    for run in ((-1, 2, 1), (5, 2, 1), (0, 0, 1)):
        with pytest.raises(GeometryError, match="runs within the slice"):
            from_runs([run], 0, (2, 3))
    with pytest.raises(PromptError, match="0 to 3, or 255"):
        check_number(4, 3)
    check_number(255, 3)
