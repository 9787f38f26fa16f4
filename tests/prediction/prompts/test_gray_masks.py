"""Masks whose edges a viewer smoothed are one label; label maps with many values stay as they are."""

import io
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from mvg.imaging.volume import LabelMap
from mvg.prediction.prompts.gray_masks import is_smoothed_mask, without_gray_edges
from mvg.prediction.prompts.task_choice import PromptTargets

SIDE = 96


def mask(radius: float, white: int = 255) -> np.ndarray:
    x, y = np.mgrid[:SIDE, :SIDE]
    return np.where((x - 50) ** 2 / 1.5 + (y - 45) ** 2 < radius**2, white, 0).astype(np.uint8)


def labels_of(pixels: np.ndarray) -> LabelMap:
    return LabelMap(pixels[:, :, None], np.eye(4))


def as_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=quality)
    return np.asarray(Image.open(content))


def smoothed(pixels: np.ndarray, width: float) -> np.ndarray:
    return np.rint(ndimage.gaussian_filter(pixels.astype(float), width)).astype(np.uint8)


@settings(max_examples=20, deadline=None)
@given(st.floats(12, 35), st.floats(0.5, 1.5), st.sampled_from([128, 255]))
def test_smoothed_masks_are_what_they_were(radius: float, width: float, white: int) -> None:
    hard = mask(radius, white)
    soft = labels_of(smoothed(hard, width))
    assert is_smoothed_mask(soft)
    again = without_gray_edges(soft)
    assert again.values == (white,)
    assert (again.voxels[..., 0] == hard).mean() > 0.99


@settings(max_examples=10, deadline=None)
@given(st.floats(15, 35), st.integers(60, 95))
def test_masks_that_were_once_jpeg(radius: float, quality: int) -> None:
    pixels = as_jpeg(mask(radius), quality)
    labels = labels_of(pixels)
    if len(np.unique(pixels)) > 12:
        assert is_smoothed_mask(labels)
        assert (without_gray_edges(labels).voxels[..., 0] > 0).sum() == pytest.approx(
            (mask(radius) > 0).sum(), rel=0.02
        )


@given(st.integers(2, 60), st.integers(1, 200))
def test_label_maps_are_no_smoothed_masks(count: int, first: int) -> None:
    x, y = np.mgrid[:SIDE, :SIDE]
    tiles = ((x // 12) * 8 + y // 12) % count
    assert not is_smoothed_mask(labels_of((tiles + first).astype(np.int32)))
    assert not is_smoothed_mask(labels_of(mask(30)))


def test_a_line_says_that_masks_were_smoothed(caplog: pytest.LogCaptureFixture) -> None:
    targets = PromptTargets([labels_of(smoothed(mask(30), 1.0))] * 2, "segmentation")
    with caplog.at_level(logging.WARNING, "mvg"):
        assert [targets[number].values for number in (0, 1)] == [(255,), (255,)]
    assert len(caplog.records) == 1
    assert "smoothed edges" in caplog.text
