"""Outlines: every pixel center lies on its side, with holes, islands and noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon2mask

from mvg.imaging.dicom.contours import outlines


def filled(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The pixels in any line, and those in an odd number of lines, as different readers fill them."""
    masks = [polygon2mask(mask.shape, line) for line in outlines(mask)] or [np.zeros(mask.shape, bool)]
    return np.logical_or.reduce(masks), np.logical_xor.reduce(masks)


@settings(max_examples=40)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_noise_comes_back(mask: NDArray[np.bool_]) -> None:
    for pixels in filled(mask):
        np.testing.assert_array_equal(pixels, mask)


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), width=st.floats(0.7, 3))
def test_regions_with_holes_come_back(seed: int, width: float) -> None:
    mask = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(40, 30)), width) > 0
    for pixels in filled(mask):
        np.testing.assert_array_equal(pixels, mask)


def test_an_island_in_a_hole_is_a_line_of_its_own() -> None:
    mask = np.zeros((15, 15), bool)
    mask[1:14, 1:14] = True
    mask[4:11, 4:11] = False
    mask[6:9, 6:9] = True
    assert len(outlines(mask)) == 2


@pytest.mark.parametrize("shape", [(1, 1), (3, 50)])
def test_a_rectangle_has_few_points(shape: tuple[int, int]) -> None:
    (line,) = outlines(np.ones(shape, bool))
    assert len(line) <= 8
