"""Whole and magnified answers are combined: what one lacks is the other's, what both show is averaged."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mvg.imaging.frame import Box, Frame
from mvg.prediction.inference.whole_slices import WholeSlices, combined, cropped

SIZE = 16


def square(*labels: tuple[Box, float], size: int = SIZE) -> Tensor:
    """Probabilities with each label in a box, background elsewhere."""
    result = torch.zeros(len(labels) + 1, size, size)
    for number, (box, probability) in enumerate(labels, start=1):
        result[number][box.index[1:]] = probability
    result[0] = 1 - result[1:].sum(dim=0)
    return result


def test_log_odds_are_averaged_where_both_show_a_label() -> None:
    box = Box(4, 4, 8, 8)
    result = combined(square((box, 0.9)), square((box, 0.6)), weight=0.5)
    expected = 1 / (1 + np.sqrt(1 / 9 * 2 / 3))
    assert result[1, 6, 6] == pytest.approx(expected, abs=1e-4)
    assert result[1, 0, 0] == pytest.approx(0, abs=1e-4)
    torch.testing.assert_close(result.sum(dim=0), torch.ones(SIZE, SIZE))


def test_weight_is_that_of_the_magnified_answer() -> None:
    box = Box(4, 4, 8, 8)
    result = combined(square((box, 0.9)), square((box, 0.6)), weight=0.99)
    assert result[1, 6, 6] == pytest.approx(0.6, abs=6e-3)
    alone = square((Box(0, 0, 1, 1), 0.9))
    assert combined(square((box, 0.9)), alone, weight=1.0) is alone


@pytest.mark.parametrize("missed_by", ["whole", "magnified"])
def test_a_label_that_one_of_both_misses_is_the_others(missed_by: str) -> None:
    shows, lacks = square((Box(4, 4, 8, 8), 0.8)), square((Box(4, 4, 2, 2), 0.7))
    both = (lacks, shows) if missed_by == "whole" else (shows, lacks)
    result = combined(*both, weight=0.5)
    torch.testing.assert_close(result[1], shows[1], atol=1e-3, rtol=0)


def test_each_label_is_decided_on_its_own() -> None:
    first, second = Box(0, 0, 6, 6), Box(8, 8, 6, 6)
    whole = square((first, 0.9), (second, 0.0))
    magnified = square((first, 0.0), (second, 0.9))
    result = combined(whole, magnified, weight=0.5)
    assert (result.argmax(dim=0)[first.index[1:]] == 1).all()
    assert (result.argmax(dim=0)[second.index[1:]] == 2).all()


def test_labels_in_different_places_are_the_magnified_ones() -> None:
    whole, magnified = square((Box(0, 0, 6, 6), 0.9)), square((Box(8, 8, 6, 6), 0.9))
    result = combined(whole, magnified, weight=0.5).argmax(dim=0)
    np.testing.assert_array_equal(result, magnified.argmax(dim=0))


def test_a_label_that_both_lack_stays_impossible() -> None:
    nothing = square((Box(0, 0, 4, 4), 0.0))
    assert combined(nothing, nothing, weight=0.5)[1].max() == 0


def test_the_part_around_a_center_is_enlarged() -> None:
    image = square((Box(10, 6, 4, 4), 1.0))
    part = cropped(image, (12.0, 8.0), (8.0, 8.0))
    assert part[1, 4:12, 4:12].min() > 0.5, "the label, twice as large"
    assert part[1].sum() == pytest.approx(64, rel=0.1)
    assert cropped(image, (12.0, 24.0), (8.0, 8.0))[0].min() == 1, "nothing but background beyond the square"


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 1.0)])
def test_a_whole_slice_is_seen_in_another_frame(spacing: tuple[float, float]) -> None:
    """A blurred disk, restored from whole slices and cut to a magnified frame, is what the frame itself cuts."""
    shape, size = (60, 90), 64
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    disk = np.exp(-(((rows - 25) * spacing[0]) ** 2 + ((columns - 50) * spacing[1]) ** 2) / 400).astype(np.float32)
    frame = Frame.letterbox(shape, spacing, size)
    part = Frame.zoomed(shape, spacing, size, (25.0, 50.0), 2.0)
    known = WholeSlices(frame)
    whole = torch.from_numpy(frame.apply(disk))
    known.keep(7, torch.stack([1 - whole, whole]))
    part_of_slice = known.part(7, part)[1].numpy()[part.target.index[1:]]
    np.testing.assert_allclose(part_of_slice, part.apply(disk)[part.target.index[1:]], atol=0.03)
