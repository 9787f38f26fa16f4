"""Winning classes, found in parts of a slice, are those of the whole slice; confidence is what slices alone say."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from mvg.imaging.frame import Frame
from mvg.imaging.window import Window
from mvg.prediction.inference.query_volume import QueryVolume
from mvg.prediction.inference.slices import decode_labels
from mvg.prediction.inference.winners import winners_confidence, winning_classes

SHAPES = ((200, 160), (48, 48), (30, 100), (20, 14))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("zoomed", [False, True])
def test_parts_agree_with_the_whole_slice(shape: tuple[int, int], zoomed: bool) -> None:
    rng = np.random.default_rng(0)
    center = (shape[0] / 3, shape[1] / 2)
    frame = Frame.zoomed(shape, (1.0, 1.3), 48, center, 1.75) if zoomed else Frame.letterbox(shape, (1.0, 1.3), 48)
    logits = 60 * ndimage.gaussian_filter(rng.normal(size=(6, 48, 48)), (0, 4, 4))
    logits[0] += 2
    logits[5] -= 100  # wins nowhere
    probabilities = (np.exp(logits) / np.exp(logits).sum(0)).astype(np.float32)
    query = QueryVolume(np.zeros((1, 1, *shape), np.float32), "axial", (Window(0, 1),), (frame,))
    whole = decode_labels(query, probabilities[None])
    numbers, area = winning_classes(frame, probabilities)
    assert 0.05 < (numbers > 0).mean() < 0.95
    assert np.array_equal(numbers, whole.numbers)
    assert np.array_equal(area, whole.area)


def test_background_alone() -> None:
    probabilities = np.zeros((3, 16, 16), np.float32)
    probabilities[0] = 1
    numbers, area = winning_classes(Frame.letterbox((40, 40), (1.0, 1.0), 16), probabilities)
    assert not numbers.any()
    assert not area.any()


def test_confidence_is_what_each_slice_alone_gives_the_winners() -> None:
    alone = torch.tensor([[[[0.6, 0.6, 0.2]], [[0.4, 0.4, 0.8]]]])
    after = torch.tensor([[[[0.9, 0.1, 0.1]], [[0.1, 0.9, 0.9]]]])
    assert winners_confidence(alone, after) == pytest.approx(np.array([[0.6]]))
    assert winners_confidence(alone, alone) == pytest.approx(np.array([[0.8]]))
    assert winners_confidence(alone, torch.ones_like(after)) == pytest.approx(np.array([[0.8]])), "it wins nowhere"
