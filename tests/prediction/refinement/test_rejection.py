"""Prompts determine how probable a label must be: where the model is less sure beyond a label's ends, it is removed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.refinement import rejection
from mvg.prediction.refinement.rejection import best_level
from tests.prediction.learner import Learner, changed

LABELED = slice(3, 9)  # of 12 slices


class Eager(Learner):
    """Outlines the middle of every picture: surely where it is bright, less so where it is gray."""

    def paint(self, images: Tensor, learned: Tensor, target_type: str) -> Tensor:
        middle = torch.zeros_like(images)
        middle[..., 10:22, 10:22] = 1
        logit = 1 + 2 * (images[..., 10:22, 10:22].mean((-2, -1), keepdim=True) > 0.7)
        return torch.where(middle > 0, logit, -9.0)


def case(seed: int, brightness: float = 100) -> tuple[Volume, LabelMap]:
    """A square that is bright in some slices, where it is labeled, and gray in the others."""
    voxels = np.random.default_rng(seed).uniform(0, 10, (32, 32, 12)).astype(np.float32)
    voxels[10:22, 10:22] = 50
    voxels[10:22, 10:22, LABELED] = brightness
    voxels[:4, :4] = 100
    labels = np.zeros(voxels.shape, np.uint8)
    labels[10:22, 10:22, LABELED] = 2
    affine = np.diag([1.0, 1, 4, 1])
    return Volume(voxels, affine), LabelMap(labels, affine)


def prompted_with_all(images: Sequence[Volume], labels: Sequence[LabelMap], **options: Any) -> PromptedTask:
    """A task that uses all prompt slices for every query slice."""
    options = {"zoom": "off", "strategy": "nearest_slice", "num_prompts": 36} | options
    return Predictor(Eager()).prompt(images, labels, options=PredictionOptions(**options))


def task_with(count: int, **options: Any) -> PromptedTask:
    images, labels = zip(*(case(seed) for seed in range(count)), strict=True)
    return prompted_with_all(images, labels, **options)


def labeled_slices(task: PromptedTask) -> list[int]:
    """The slices of a query in which something is labeled."""
    voxels = task(case(9)[0]).volume.voxels
    return [int(number) for number in np.flatnonzero(voxels.any((0, 1)))]


def test_labels_less_probable_than_those_of_the_prompts_are_removed() -> None:
    assert labeled_slices(task_with(3)) == list(range(3, 9))
    assert labeled_slices(task_with(3, min_probability=0.0)) == list(range(12))


def test_one_prompt_volume_determines_no_threshold() -> None:
    assert labeled_slices(task_with(1)) == list(range(12))
    assert labeled_slices(task_with(1, min_probability=0.9)) == list(range(3, 9))


@pytest.mark.parametrize("zoom", ["off", "auto"])
def test_labels_that_are_equally_probable_everywhere_are_kept(zoom: str) -> None:
    images, labels = zip(*(case(seed, brightness=50) for seed in range(3)), strict=True)
    task = prompted_with_all(images, labels, zoom=zoom)
    assert task(case(9, brightness=50)[0]).volume.voxels.any((0, 1)).all()


def test_nothing_is_removed_where_much_that_is_right_would_go_with_it() -> None:
    cases = [case(seed) for seed in range(4)]
    for image, _ in cases:
        image.voxels.flags.writeable = True
        image.voxels[10:22, 10:22, 3:5] = 50  # a third of the labeled slices is as improbable as those beyond
    task = prompted_with_all(*zip(*cases[:3], strict=True))
    assert task(cases[3][0]).volume.voxels.any((0, 1)).all()


def test_thresholds_are_determined_once() -> None:
    task = task_with(3)
    task(case(9)[0])
    (threshold,) = task.cache.thresholds.values()
    assert 0.74 < threshold[0] < 0.95
    task.cache.thresholds = {key: np.zeros(1, np.float32) for key in task.cache.thresholds}
    assert labeled_slices(task) == list(range(12)), "those that are kept are used"


def test_thresholds_are_not_determined_where_nothing_could_be_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejection, "_determined", lambda *_: pytest.fail("thresholds were determined"))
    task = task_with(3)
    query, _ = case(9)
    sure = Volume(np.ascontiguousarray(query.voxels[..., LABELED]), query.affine)
    assert task(sure).volume.voxels.any((0, 1)).all(), "every label is more probable than any threshold"
    changed(task, min_probability=0.0)(query)
    changed(task, min_probability=0.9)(query)


class Nothing(Eager):
    """Labels nothing."""

    def paint(self, images: Tensor, learned: Tensor, target_type: str) -> Tensor:
        return torch.full_like(images, -9.0)


def test_thresholds_are_not_determined_for_an_empty_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejection, "_determined", lambda *_: pytest.fail("thresholds were determined"))
    images, labels = zip(*(case(seed) for seed in range(3)), strict=True)
    task = Predictor(Nothing()).prompt(images, labels, options=PredictionOptions(zoom="off"))
    assert not task(case(9)[0]).volume.voxels.any()


def slices(*rows: tuple[float, int, int, int]) -> NDArray[np.float64]:
    """A volume's slices: probability, predicted, true and correct pixels."""
    return np.array(rows, np.float64)


RIGHT, FALSE_AT_07 = (0.95, 100, 100, 100), (0.7, 100, 0, 0)


def test_the_level_of_the_best_dice_is_chosen() -> None:
    assert best_level([slices(RIGHT, FALSE_AT_07)] * 3) == 0.75, "the lowest level that removes what is false"
    assert best_level([slices(RIGHT, RIGHT)] * 3) == 0


def test_a_gain_must_exceed_its_standard_error() -> None:
    gaining, losing = slices(RIGHT, FALSE_AT_07), slices(RIGHT, (0.7, 4, 4, 4))
    assert best_level([gaining] * 6) == 0.75
    gains = np.array([1 / 3, *[-2 / 102] * 5])  # in Dice, from .67 to 1 and from 1 to .98
    assert 0.01 < gains.mean() < gains.std(ddof=1) / 6**0.5
    assert best_level([gaining, *[losing] * 5]) == 0


def test_a_gain_must_reach_the_minimum() -> None:
    # Removing n false pixels of 100 right ones gains n / (200 + n).
    assert best_level([slices(RIGHT, (0.7, 1, 0, 0))] * 3) == 0, "a gain of .005"
    assert best_level([slices(RIGHT, (0.7, 3, 0, 0))] * 3) == 0.75, "a gain of .015"


def test_the_right_labels_must_remain() -> None:
    # Dice gains in both cases; the level removes 6 or 4 of 100 right pixels.
    assert best_level([slices((0.95, 94, 94, 94), (0.7, 106, 6, 6))] * 3) == 0
    assert best_level([slices((0.95, 96, 96, 96), (0.7, 104, 4, 4))] * 3) == 0.75
