"""What differs between two grids is named."""

import numpy as np
import pytest

from mvg.imaging.grid_difference import grid_difference
from mvg.imaging.volume import LabelMap
from tests.imaging.grids import ORIENTATIONS, affine_of, volume_of

ORIENTATION = ORIENTATIONS[0]
VOLUME = volume_of(affine_of(ORIENTATION))


def labels(affine: np.ndarray, shape: tuple[int, int, int] = (4, 5, 6)) -> LabelMap:
    return LabelMap(np.zeros(shape, np.uint8), affine)


def test_one_grid_has_no_difference() -> None:
    assert grid_difference(labels(VOLUME.affine), VOLUME) == ""
    assert grid_difference(labels(VOLUME.affine + 0.05 * np.eye(4, k=3)), VOLUME) == "", "less than any voxel"


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (labels(VOLUME.affine, (4, 5, 7)), "shape 4 x 5 x 7 and 4 x 5 x 6"),
        (labels(affine_of(ORIENTATION, (0.7, 1.3, 4.0))), "spacing 0.7 x 1.3 x 4 and 0.7 x 1.3 x 3.1 mm"),
        (labels(VOLUME.affine + 2 * np.eye(4, k=3)), "origin -9.3 x 27.9 x 101.7 and -11.3 x 27.9 x 101.7 mm"),
        (labels(affine_of(ORIENTATION * [[-1], [1], [1]])), "axes"),
        (labels(affine_of(ORIENTATION, tilt=(0.1, 0.0, 0.0))), "the directions of the axes"),
    ],
)
def test_differences_are_named(other: LabelMap, text: str) -> None:
    assert grid_difference(other, VOLUME).startswith(text)


def test_all_differences_are_named() -> None:
    other = labels(affine_of(ORIENTATION, (1, 1, 1)) + 2 * np.eye(4, k=3), (1, 2, 3))
    assert [part.split()[0] for part in grid_difference(other, VOLUME).split(", ")] == ["shape", "spacing", "origin"]
