"""Labels that were resampled as pictures, images that are label maps and labels without background are named."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompts.interpolated_labels import interpolated_label
from tests.prediction.bodies import AFFINE, body, predictor

quick = settings(max_examples=15, deadline=None)


def of(voxels: NDArray[np.number]) -> LabelMap:
    return LabelMap(np.rint(voxels).astype(np.int16), AFFINE)


@quick
@given(st.integers(1, 40), st.integers(3, 30), st.floats(0.5, 1.1), st.booleans())
def test_means_between_labels_are_found(seed: int, step: int, blur: float, is_resampled: bool) -> None:
    labels = body(seed)[1].voxels.astype(np.float32) * step
    if is_resampled:
        labels = ndimage.zoom(ndimage.zoom(labels, (0.5, 0.5, 1), order=1), (2, 2, 1), order=1)
    else:
        labels = ndimage.gaussian_filter(labels, (blur, blur, 0))
    assert interpolated_label(of(labels)) is not None


@quick
@given(st.integers(1, 40), st.integers(1, 1000), st.integers(4, 8))
def test_labels_as_they_are_drawn_are_not(seed: int, step: int, thickness: int) -> None:
    """Also not a structure that a thicker one encloses, as a ventricle."""
    labels = body(seed)[1].voxels
    assert interpolated_label(of(labels.astype(np.int32) * min(step, 10_000))) is None
    wall = ndimage.binary_dilation(labels == 1, np.ones((3, 3, 1)), thickness)
    assert interpolated_label(of(np.where(labels == 1, 2, wall))) is None


@pytest.mark.parametrize("fault", ["interpolated", "images", "everywhere"])
def test_a_line_says_so(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    image, labels = body(1)
    voxels = labels.voxels
    line = {"interpolated": "resampled like pictures", "images": "looks like a label map", "everywhere": "everywhere"}
    if fault == "interpolated":
        voxels = of(ndimage.gaussian_filter(voxels * 4.0, (0.8, 0.8, 0))).voxels
    if fault == "images":
        image = Volume(voxels, AFFINE)
    if fault == "everywhere":
        voxels = np.ones_like(voxels)
    with caplog.at_level(logging.WARNING, "mvg"):
        predictor().prompt([image], [LabelMap(voxels, AFFINE)], options=PredictionOptions(zoom="off"))
    assert line[fault] in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "mvg"):
        predictor().prompt([body(1)[0]], [labels], options=PredictionOptions(zoom="off"))
    assert not caplog.messages
