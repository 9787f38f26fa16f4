"""Slices for an adapter: each is predicted from the other volumes, volumes and scales take turns."""

from collections.abc import Sequence

import numpy as np
import torch

from mvg.model.outputs import PromptState
from mvg.prediction.inference.prompt_cache import PromptView
from mvg.prediction.stacked import stack
from tests.prediction.learner import Learner, prompted


def test_every_slice_is_predicted_from_other_volumes_alone() -> None:
    task = prompted(Learner(), 3)
    used: list[tuple[int, ...]] = []
    state = task.cache.state

    def noted(view: PromptView, classes: Sequence[int] | None = None) -> PromptState:
        used.append(view.indices)
        return state(view, classes)

    task.cache.state = noted  # type: ignore[method-assign]
    slices = stack([[task.cache], []], task.options, np.random.default_rng(0), lambda: True)
    assert len(slices) == len(task.prompts) == len(used)
    for volume, indices in zip(slices.volume, used, strict=True):
        assert volume not in task.prompts.volume[list(indices)]
    inputs, targets = slices.batch([0, 1, 2])
    assert inputs.images.dtype == torch.float32
    assert torch.equal(inputs.prediction.argmax(1), targets[:, 0].long()), "this model recognizes every class"


def test_all_volumes_and_scales_have_their_share_of_a_short_time() -> None:
    task = prompted(Learner(), 4)
    left = iter([True] * 11 + [False] * 1000)
    slices = stack([[task.cache], [task.cache]], task.options, np.random.default_rng(0), lambda: next(left))
    assert len(slices) == 11
    assert {int((slices.volume == volume).sum()) for volume in range(4)} == {2, 3}
    assert {int((slices.zoomed == zoomed).sum()) for zoomed in (False, True)} <= {4, 5, 6, 7}
    none = stack([[task.cache], []], task.options, np.random.default_rng(0), lambda: False)
    assert len(none) == 8, "two of every volume, whatever the time"


def test_whole_slices_are_left_out_where_magnified_ones_replace_them() -> None:
    task = prompted(Learner(), 3)
    magnified = stack([[], [task.cache]], task.options, np.random.default_rng(0), lambda: True)
    assert len(magnified) == len(task.prompts)
    assert magnified.zoomed.all()
