"""Imperfect prompts: each defect occurs, changes little, and invents no label."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mvg.training.imperfections import imperfect_labels


def labels(second: bool = True) -> Tensor:
    """A disk with value 3, and a square with value 7 beside it."""
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    out = 3.0 * (torch.hypot(rows - 20, columns - 16) < 9)
    out[16:26, 30:40] = 7.0 if second else 0.0
    return out[None]


def defects(original: Tensor) -> list[Tensor]:
    return [imperfect_labels(original, np.random.default_rng(seed)) for seed in range(900)]


def test_every_prompt_differs_a_little_and_has_no_new_label() -> None:
    original = labels()
    for changed in defects(original):
        assert changed.shape == original.shape
        assert not torch.equal(changed, original)
        assert set(changed.unique().tolist()) <= {0.0, 3.0, 7.0}
        for value in changed.unique()[1:]:
            mask, true = changed == value, original == value
            assert (mask & true).sum() / (mask | true).sum() > 0.2


def test_labels_are_shifted_eroded_dilated_and_forgotten() -> None:
    original = labels()
    sizes = [{value: int((changed == value).sum()) for value in (3, 7)} for changed in defects(original)]
    disk, square = (int((original == value).sum()) for value in (3, 7))
    assert any(size[3] == 0 and size[7] == square for size in sizes), "one label is forgotten"
    assert any(size[7] == 0 and size[3] == disk for size in sizes), "or the other one"
    assert any(size == {3: disk, 7: square} for size in sizes), "shifted"
    assert any(0 < size[3] < disk and 0 < size[7] < square for size in sizes), "eroded"
    assert any(size[3] > disk and size[7] > square for size in sizes), "dilated"


def test_the_only_label_is_never_forgotten() -> None:
    assert all(changed.any() for changed in defects(labels(second=False)))


def test_a_thin_label_survives() -> None:
    thin = torch.zeros(1, 48, 48)
    thin[:, 20, 10:40] = 1
    assert all(changed.any() for changed in defects(thin))


def test_neighbors_stay_neighbors_when_eroded() -> None:
    """Erosion takes the rim towards the background, not the border between two labels."""
    original = torch.zeros(1, 48, 48)
    original[:, 10:30, 10:20], original[:, 10:30, 20:30] = 1, 2
    eroded = [changed for changed in defects(original) if 0 < (changed > 0).sum() < (original > 0).sum()]
    smaller = [changed for changed in eroded if len(changed.unique()) == 3 and changed[0, 10].sum() == 0]
    assert any((changed[0, 15, 19], changed[0, 15, 20]) == (1, 2) and changed[0, 29].sum() == 0 for changed in smaller)


@pytest.mark.parametrize("seed", range(5))
def test_an_empty_slice_stays_empty(seed: int) -> None:
    assert not imperfect_labels(torch.zeros(1, 16, 16), np.random.default_rng(seed)).any()
