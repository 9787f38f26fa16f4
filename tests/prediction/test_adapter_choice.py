"""What an adapter gains is measured on volumes that it was not trained on, and used where it is certain."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mvg.model.adapter import AdapterConfig, AdapterInput, Corrector
from mvg.prediction import adapter_choice
from mvg.prediction.adapter_choice import STRENGTHS, best_strength, choose, folds_of, thresholds
from mvg.prediction.stacked import StackedSlices

CONFIG = AdapterConfig("labels", channels=2)


def gains(*rows: list[float]) -> Any:
    base = np.full(len(rows[0]), 0.5)
    return np.stack([base, *(base + row for row in rows)])


def test_the_best_certain_share_is_chosen() -> None:
    assert best_strength(gains([0.01, 0.01, 0.012], [0.02, 0.03, 0.02], [0.09, -0.02, -0.02]), 0.003) == 2


def test_uncertain_small_and_single_gains_change_nothing() -> None:
    assert best_strength(gains([0.09, -0.04, -0.04]), 0.003) == 0
    assert best_strength(gains([0.001, 0.001, 0.001]), 0.003) == 0
    assert best_strength(gains([0.1]), 0.003) == 0
    assert best_strength(gains([-0.1, -0.1]), 0.003) == 0
    assert best_strength(np.zeros((5, 0)), 0.003) == 0


def test_every_volume_is_left_out_once() -> None:
    volume = np.repeat(np.arange(7), 3)
    for count in (2, 3):
        folds = folds_of(volume, count, np.random.default_rng(0))
        assert len(folds) == count
        assert sorted(np.concatenate(folds)) == list(range(7))
    assert len(folds_of(np.array([0, 1]), 3, np.random.default_rng(0))) == 2


class Fixed(Corrector):
    """Raises class 1 by the image, so that bright pixels become labeled; `sign` -1 does the opposite."""

    def __init__(self, sign: float) -> None:
        super().__init__(CONFIG)
        self.sign = nn.Parameter(torch.tensor(sign))

    def forward(self, inputs: AdapterInput) -> torch.Tensor:
        change = torch.zeros_like(inputs.prediction)
        change[:, 1:] = self.sign * 20 * (inputs.images - 0.5)
        return change


def slices(zoomed: list[bool]) -> StackedSlices:
    """Two volumes of two slices, whose left half is bright and labeled, and predicted as background."""
    images = torch.zeros(4, 1, 8, 8)
    images[..., :4] = 1
    prediction = torch.tensor([0.9, 0.1])[None, :, None, None].expand(4, 2, 8, 8)
    inputs = AdapterInput(images, None, None, prediction)
    return StackedSlices(inputs, images.clone(), np.array([0, 0, 1, 1]), np.array(zoomed), np.ones(4, bool))


FOLDS = [np.array([0]), np.array([1])]


def test_members_are_measured_on_what_they_left_out() -> None:
    both: Any = [[Fixed(1.0)], [Fixed(1.0)]]
    choice = choose(slices([False] * 4), FOLDS, both, CONFIG)
    assert (choice.before, choice.after, choice.zoom) == (0.0, 1.0, 0.0)
    assert choice.whole in STRENGTHS[1:]
    one: Any = [[Fixed(1.0)], [Fixed(-1.0)]]
    choice = choose(slices([False] * 4), FOLDS, one, CONFIG)
    assert choice.whole == 0, "it helps one of two volumes, which is not certain"
    assert choice.after == choice.before


def test_the_better_moment_is_chosen() -> None:
    members: Any = [[Fixed(-1.0), Fixed(1.0), Fixed(0.0)]] * 2
    assert choose(slices([False] * 4), FOLDS, members, CONFIG).snapshot == 1


def test_scales_are_chosen_apart() -> None:
    members: Any = [[Fixed(1.0)], [Fixed(1.0)]]
    mixed = slices([False, True, False, True])
    mixed.targets[mixed.zoomed] = 0  # the change does harm there
    choice = choose(mixed, FOLDS, members, CONFIG)
    assert choice.whole > 0
    assert choice.zoom == 0
    assert choice.before == choice.after == pytest.approx(1.0), "of magnified slices: nothing predicted, nothing true"


def test_of_many_slices_some_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    counts = adapter_choice._counts
    monkeypatch.setattr(
        adapter_choice, "_counts", lambda output, targets: (measured.append(len(targets)), counts(output, targets))[1]
    )
    monkeypatch.setattr(adapter_choice, "_CHECKED", 2)
    monkeypatch.setattr(adapter_choice, "_MIN_CHECKED", 1)
    members: Any = [[Fixed(1.0)], [Fixed(1.0)]]
    assert choose(slices([False] * 4), FOLDS, members, CONFIG).after == 1
    assert measured == [1] * 2 * len(STRENGTHS), "one slice of each of two volumes"


def test_thresholds_tell_what_is_wrong_from_what_is_right() -> None:
    """In the second slice of each volume the label is less probable and wrong."""
    members = [Fixed(1.0), Fixed(1.0)]
    faint = slices([False] * 4)
    faint.inputs.images[1::2, ..., :4] = 0.65
    faint.targets[1::2] = 0
    (minimum,) = thresholds(faint, FOLDS, members, 1.0, zoomed=False)
    assert 0.6 < minimum < 0.9
    (kept,) = thresholds(slices([False] * 4), FOLDS, members, 1.0, zoomed=False)
    assert kept == 0, "all of it is right"
    assert thresholds(faint, FOLDS, members, 1.0, zoomed=True).tolist() == [0], "no slice is magnified"
