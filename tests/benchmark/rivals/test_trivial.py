"""Rivals without training predict from the request alone, as their descriptions say."""

from pathlib import Path

import numpy as np
import pytest

from mvg.benchmark.protocol.method import Budget, Method, Prompt, Request, Rival, TrainingData
from mvg.benchmark.rivals import copy_prompt, identity, mean_fill
from mvg.data.case import Card
from mvg.data.store import Store
from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import Task, tasks_for
from tests.data.folders import AXIAL

CARD = Card("synthetic", "synthetic", "MRI", "", ("T1", "T2"), {1: "thing"})
TASKS = {task.kind: task for task in tasks_for(CARD)}


def predicted(rival: Rival, query: Volume, *prompts: Prompt, kind: str = "segmentation") -> Volume | LabelMap:
    return fitted(rival, TASKS[kind])(Request(TASKS[kind], query, prompts))


def fitted(rival: Rival, task: Task) -> Method:
    return rival.fit(rival.Options(), TrainingData(Store(Path(), {}), (task,), Budget(), 0, Path()))


def ramp(values: list[int], shape: tuple[int, int] = (4, 4)) -> LabelMap:
    """A volume whose slices are constant."""
    return LabelMap(np.broadcast_to(np.array(values), (*shape, len(values))), AXIAL)


def as_image(labels: LabelMap) -> Volume:
    return Volume(labels.voxels.astype(np.float32), labels.affine)


def test_each_serves_the_tasks_it_can_do() -> None:
    served = {name: [kind for kind, task in TASKS.items() if module.serves(task)] for name, module in (
        ("copy", copy_prompt), ("identity", identity), ("mean", mean_fill)
    )}  # fmt: skip
    assert sorted(served["copy"]) == sorted(TASKS)
    assert sorted(served["identity"]) == sorted(set(TASKS) - {"segmentation", "registration"})
    assert served["mean"] == ["inpainting"]


def test_identity_is_the_query() -> None:
    query = as_image(ramp([1, 2]))
    assert predicted(identity, query, kind="synthesis") is query


def test_copy_takes_the_slice_at_the_same_relative_position() -> None:
    labels = ramp([1, 2, 3, 4], (2, 3))
    query = Volume(np.zeros((6, 5, 2)), AXIAL)
    prediction = predicted(copy_prompt, query, Prompt("a", "p", as_image(labels), labels))
    assert isinstance(prediction, LabelMap)
    np.testing.assert_array_equal(prediction.affine, query.affine)
    np.testing.assert_array_equal(prediction.voxels, ramp([2, 4], (6, 5)).voxels)


def test_copy_stretches_and_keeps_sides() -> None:
    half = LabelMap(np.repeat([1, 0], 2)[:, None, None] * np.ones((1, 4, 1), int), AXIAL)
    prediction = predicted(copy_prompt, Volume(np.zeros((8, 4, 1)), AXIAL), Prompt("a", "p", as_image(half), half))
    np.testing.assert_array_equal(prediction.voxels[:, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0])


def test_copy_chooses_the_most_similar_prompt() -> None:
    rng = np.random.default_rng(0)
    images = [rng.uniform(0, 1, (20, 20, 1)) for _ in range(3)]
    prompts = [
        Prompt(str(n), str(n), Volume(image, AXIAL), LabelMap(np.full(image.shape, n + 1), AXIAL))
        for n, image in enumerate(images)
    ]
    query = Volume(images[1] * 50 + rng.uniform(0, 1, (20, 20, 1)), AXIAL)
    assert set(predicted(copy_prompt, query, *prompts).voxels.flat) == {2}
    assert set(predicted(copy_prompt, query, prompts[0]).voxels.flat) == {1}
    with pytest.raises(PromptError, match="no prompts"):
        predicted(copy_prompt, query)


@pytest.mark.parametrize("rows", [slice(10, 14), slice(20, 25)], ids=["inside", "open to the outside"])
def test_mean_fill_takes_the_mean_of_the_body_in_each_slice_and_leaves_the_background(rows: slice) -> None:
    voxels = np.zeros((30, 30, 2))
    voxels[5:25, 5:25, 0], voxels[5:25, 5:25, 1] = 40, 80
    query = voxels.copy()
    query[rows, 12:16] = 0
    filled = predicted(mean_fill, Volume(query, AXIAL), kind="inpainting")
    np.testing.assert_allclose(filled.voxels, voxels)
