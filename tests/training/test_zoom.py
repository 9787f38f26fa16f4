"""Magnified views: labels come into the middle and are magnified."""

import numpy as np
import pytest

from mvg.imaging.frame import Box
from mvg.training.augmentation import Change, sample
from mvg.training.zoom import RelativeExtent, zoom_on_labels


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("mirror", [(False, False), (True, False), (True, True)])
def test_labels_come_into_the_middle(mirror: tuple[bool, bool], transpose: bool) -> None:
    box = Box(10, 0, 40, 60)
    labels = np.zeros((60, 60), np.uint8)
    labels[15:21, 36:46] = 1  # within the box
    extent = RelativeExtent.of(labels > 0, box)
    assert extent is not None
    assert extent.size == pytest.approx(10 / 60)
    close = Change(mirror, transpose).zoomed(extent.center, 4.0)
    magnified = sample(labels, box, close, 48, "nearest").numpy()
    rows, cols = np.nonzero(magnified)
    assert abs(rows.mean() - 23.5) < 1
    assert abs(cols.mean() - 23.5) < 1
    assert len(rows) == pytest.approx(60 * (48 / 15) ** 2, rel=0.1), "magnified four times"
    assert RelativeExtent.of(labels > 1, box) is None


def test_a_random_position_is_one_of_the_labeled_ones() -> None:
    labels = np.zeros((30, 20), np.uint8)
    labels[25, 3] = labels[2, 18] = 1
    rng = np.random.default_rng(0)
    extents = {RelativeExtent.of_random_pixel(labels > 0, None, rng) for _ in range(20)}
    expected = {(2 * (5 + col + 0.5) / 30 - 1, 2 * (row + 0.5) / 30 - 1) for row, col in ((25, 3), (2, 18))}
    assert {tuple(np.round(extent.center, 6)) for extent in extents if extent} == {
        tuple(np.round(one, 6)) for one in expected
    }
    assert RelativeExtent.of_random_pixel(labels > 1, None, rng) is None


def test_large_labels_are_magnified_at_most_to_native_resolution() -> None:
    changes = [Change((False, False), transpose=False)] * 2
    full = np.ones((64, 64), np.uint8)
    rng = np.random.default_rng(0)
    magnifications = [zoom_on_labels(changes, [full, full], [None, None], 32, rng)[0].zoom for _ in range(30)]
    assert 1 <= min(magnifications) < max(magnifications) <= 2
    assert zoom_on_labels(changes, [full, full], [None, None], 64, rng) == changes
    assert zoom_on_labels(changes, [0 * full, 0 * full], [None, None], 32, rng) == changes


def test_slices_of_one_volume_are_magnified_about_the_labels_of_its_prompts() -> None:
    changes = [Change((False, False), transpose=False)] * 4
    prompts, other, query = np.zeros((2, 64, 64), np.uint8), np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    prompts[0, 10:14, 10:14] = prompts[1, 14:18, 10:14] = other[40:44, 40:44] = query[60:, 60:] = 1
    labels = [prompts[0], other, prompts[1], query]
    of_volume = (True, False, True, True)
    zoomed = zoom_on_labels(changes, labels, [None] * 4, 32, np.random.default_rng(0), of_volume)
    assert zoomed[0] == zoomed[2] == zoomed[3]
    assert zoomed[0].shift == pytest.approx(((12 - 32) / 64, (14 - 32) / 64)), "the middle of both prompts' labels"
    assert zoomed[1].shift == pytest.approx(((42 - 32) / 64, (42 - 32) / 64)), "another patient has its own middle"
    empty = [0 * prompts[0], other, 0 * prompts[1], query]
    zoomed = zoom_on_labels(changes, empty, [None] * 4, 32, np.random.default_rng(0), of_volume)
    assert zoomed[0] == zoomed[3]
    assert zoomed[0].shift == pytest.approx(((62 - 32) / 64, (62 - 32) / 64)), "the query's where prompts are empty"


def test_large_labels_of_one_volume_are_magnified_about_one_pixel() -> None:
    changes = [Change((False, False), transpose=False)] * 3
    full = np.ones((64, 64), np.uint8)
    for seed in range(5):
        zoomed = zoom_on_labels(changes, [full] * 3, [None] * 3, 32, np.random.default_rng(seed), (True, True, True))
        assert zoomed[0].zoom > 1
        assert zoomed[0] == zoomed[1] == zoomed[2]
