"""Continuity: how well outlines in neighboring slices of the prompts overlap, at the distance of the query's slices."""

from dataclasses import replace

import numpy as np
import pytest

from mvg.prediction.inference.continuity import continuity
from mvg.prediction.prompts.prompt_set import PromptSet
from tests.prediction.learner import SIZE, Learner, prompted


def prompts_of(targets: np.ndarray, volume: list[int], index: list[int], count: int) -> PromptSet:
    """Prompt slices with these class numbers (m, s, s)."""
    prompts = prompted(Learner(), zoom="off").cache.prompts
    return replace(
        prompts,
        images=np.zeros((len(targets), 1, SIZE, SIZE), np.uint16),
        targets=targets.astype(np.uint8),
        volume=np.array(volume),
        index=np.array(index),
        count=np.full(len(targets), count),
        values=(1, 2),
    )


def moving(slices: int, columns: int) -> np.ndarray:
    """Class 1: a square of 8 pixels that moves by so many columns a slice; class 2: in every second slice."""
    targets = np.zeros((slices, SIZE, SIZE))
    for number in range(slices):
        targets[number, :8, columns * number : columns * number + 8] = 1
        targets[number, 12:16, :4] = 2 * (number % 2)
    return targets


def test_overlap_of_neighboring_slices() -> None:
    prompts = prompts_of(moving(4, 2), [0] * 4, [0, 1, 2, 3], count=4)
    assert continuity(prompts, 4) == pytest.approx([6 / 10, 0])


def test_slices_in_any_order_and_of_several_volumes_are_compared_within_their_volume() -> None:
    targets = moving(4, 0)
    targets[2:, :8, :8] = np.where(targets[2:, :8, :8] == 1, 0, targets[2:, :8, :8])  # the other volume lacks class 1
    prompts = prompts_of(targets, [0, 0, 1, 1], [1, 0, 3, 2], count=4)
    assert continuity(prompts, 4)[0] == 1


def test_a_query_of_fewer_slices_is_compared_with_prompts_as_far_apart() -> None:
    prompts = prompts_of(moving(4, 2), [0] * 4, [0, 1, 2, 3], count=4)
    assert continuity(prompts, 2) == pytest.approx([4 / 12, 1])
    assert continuity(prompts, 400) == pytest.approx([6 / 10, 0])


def test_single_slices_have_no_neighbors() -> None:
    prompts = prompts_of(moving(2, 0), [0, 1], [0, 0], count=1)
    assert continuity(prompts, 9).tolist() == [0, 0]
