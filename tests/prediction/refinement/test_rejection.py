"""Prompts tell how sure a label has to be: where the model outlines it less surely beyond its ends, it is dropped."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mvg.imaging.volume import LabelMap, Volume
from mvg.model.outputs import PromptState
from mvg.prediction.predictor import Predictor, PromptedTask
from tests.prediction.learner import Learner

SHOWN = slice(3, 9)  # of 12 slices


class Eager(Learner):
    """Outlines the middle of every picture: surely where it is bright, less so where it is gray."""

    def answer(self, query: Tensor, prompts: PromptState, kind: str) -> Tensor:
        middle = torch.zeros_like(query)
        middle[..., 10:22, 10:22] = 1
        logit = 1 + 2 * (query[..., 10:22, 10:22].mean((-2, -1), keepdim=True) > 0.7)
        return torch.where(middle > 0, logit, -9.0)


def case(seed: int, above: float = 100) -> tuple[Volume, LabelMap]:
    """A square that is bright in some slices, where it is labelled, and gray in the others."""
    voxels = np.random.default_rng(seed).uniform(0, 10, (32, 32, 12)).astype(np.float32)
    voxels[10:22, 10:22] = 50
    voxels[10:22, 10:22, SHOWN] = above
    voxels[:4, :4] = 100
    labels = np.zeros(voxels.shape, np.uint8)
    labels[10:22, 10:22, SHOWN] = 2
    affine = np.diag([1.0, 1, 4, 1])
    return Volume(voxels, affine), LabelMap(labels, affine)


def shown_all(images: Sequence[Volume], labels: Sequence[LabelMap], **settings: Any) -> PromptedTask:
    """A task whose every query slice is shown all prompt slices."""
    settings = {"zoom": "off", "strategy": "nearest_slice", "num_prompts": 36} | settings
    return Predictor(Eager()).prompt(images, labels, **settings)


def answered(count: int, **settings: Any) -> list[int]:
    """In which slices of a query something was found."""
    images, labels = zip(*(case(seed) for seed in range(count)), strict=True)
    task = shown_all(images, labels, **settings)
    found = task(case(9)[0]).volume.voxels
    return [int(at) for at in np.flatnonzero(found.any((0, 1)))]


def test_what_is_less_sure_than_the_prompts_labels_are_is_dropped() -> None:
    assert answered(3) == list(range(3, 9))
    assert answered(3, min_probability=0.0) == list(range(12))


def test_one_prompt_volume_tells_nothing_of_it() -> None:
    assert answered(1) == list(range(12))
    assert answered(1, min_probability=0.9) == list(range(3, 9))


@pytest.mark.parametrize("look", ["whole", "close"])
def test_labels_that_are_as_sure_everywhere_are_kept(look: str) -> None:
    images, labels = zip(*(case(seed, above=50) for seed in range(3)), strict=True)
    task = shown_all(images, labels, look=look)
    assert task(case(9, above=50)[0]).volume.voxels.any((0, 1)).all()


def test_nothing_is_dropped_where_much_that_is_right_would_go_with_it() -> None:
    made = [case(seed) for seed in range(4)]
    for image, _ in made:
        image.voxels.flags.writeable = True
        image.voxels[10:22, 10:22, 3:5] = 50  # a third of what is labelled is no surer than what is not
    task = shown_all(*zip(*made[:3], strict=True))
    assert task(made[3][0]).volume.voxels.any((0, 1)).all()


def test_it_is_found_out_once() -> None:
    images, labels = zip(*(case(seed) for seed in range(3)), strict=True)
    task = shown_all(images, labels)
    task(case(9)[0])
    (least,) = task.cache.least.values()
    assert least is not None
    assert 0.74 < least[0] < 0.95
    task.cache.least = {key: np.zeros(1, np.float32) for key in task.cache.least}
    assert task(case(9)[0]).volume.voxels.any((0, 1)).all()
