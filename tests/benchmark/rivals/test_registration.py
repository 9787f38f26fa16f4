"""Rivals that register prompts to the query warp their labels onto it."""

from pathlib import Path

import numpy as np
import pytest

from mvg.benchmark.protocol.method import Budget, Prompt, Request, Rival, TrainingData
from mvg.benchmark.rivals import _propagation, bspline, demons, mvg_registration
from mvg.data.case import Card
from mvg.data.store import Store
from mvg.errors import PromptError
from mvg.imaging.displacement import DisplacementField
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import tasks_for
from tests.prediction.registration.scenes import body, dice, smooth_field

TASKS = {task.kind: task for task in tasks_for(Card("synthetic", "synthetic", "MRI", "", ("T1",), {1: "a", 2: "b"}))}
TASK = TASKS["segmentation"]


@pytest.mark.parametrize("rival", [demons, bspline, mvg_registration])
def test_labels_of_a_prompt_follow_the_query(rival: Rival) -> None:
    moving, labels = body((48, 44, 12))
    field = smooth_field(moving, 10.0)
    query, truth = field.warp(moving), field.warp_labels(labels)
    method = rival.fit(rival.Options(), TrainingData(Store(Path(), {}), (TASK,), Budget(), 0, Path()))
    prediction = method(Request(TASK, query, (Prompt("a", "p", moving, labels),)))
    assert isinstance(prediction, LabelMap)
    np.testing.assert_array_equal(prediction.affine, query.affine)
    assert dice(prediction, truth) > dice(labels, truth) + 0.01


def test_only_labels_are_served() -> None:
    assert [kind for kind, task in TASKS.items() if mvg_registration.serves(task)] == ["segmentation"]


def still(_: Volume, fixed: Volume) -> DisplacementField:
    """Nothing moves."""
    return DisplacementField(np.zeros((*fixed.shape, 3), np.float32), fixed)


def test_several_prompts_vote() -> None:
    image, labels = body((12, 12, 4))
    other = LabelMap(np.zeros_like(labels.voxels), labels.affine)
    prompts = [Prompt(name, name, image, target) for name, target in (("a", labels), ("b", other), ("c", labels))]
    prediction = _propagation.propagation(still)(Request(TASK, image, tuple(prompts)))
    np.testing.assert_array_equal(prediction.voxels, labels.voxels)
    assert labels.voxels.any()


def test_no_prompts_is_an_error() -> None:
    with pytest.raises(PromptError, match="no prompts to warp"):
        _propagation.propagation(still)(Request(TASK, body((8, 8, 4))[0], ()))
