"""A grid of regions is left out where query and prompts show other parts of the body in the same place."""

import numpy as np
import pytest

from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.prompts import zoom_plan
from mvg.prediction.refinement import zoom, zoom_gain
from mvg.prediction.refinement.alignment import are_aligned
from tests.prediction.learner import Learner, changed

AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])


@pytest.fixture(autouse=True)
def with_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """All labels count as fine."""
    monkeypatch.setattr(zoom_plan, "_FINE", 1.01)


def blocks(shift: int, slices: int = 3) -> tuple[Volume, LabelMap]:
    """Large slices with two large labels, moved down by some of their 96 rows."""
    labels = np.zeros((96, 96, slices), np.int32)
    labels[2 + shift : 36 + shift, 4:91] = 5
    labels[43 + shift : 65 + shift, 4:91] = 7
    shades = np.select([labels == 5, labels == 7], [200.0, 20.0], 100.0)
    voxels = shades + np.random.default_rng(shift).uniform(-5, 5, labels.shape)
    voxels[0, 0], voxels[-1, -1] = 0, 255
    return Volume(voxels.astype(np.float32), AFFINE), LabelMap(labels, AFFINE)


def task_of(prompts: int, slices: int = 3) -> PromptedTask:
    pairs = [blocks(0, slices) for _ in range(prompts)]
    task = Predictor(Learner()).prompt([image for image, _ in pairs], [labels for _, labels in pairs])
    assert task.zoom is not None
    assert task.zoom.regions[0].position is not None, "a grid"
    return task


@pytest.mark.parametrize(("shift", "used"), [(0, True), (2, True), (12, False), (24, False)])
def test_a_grid_is_used_where_labels_lie_as_in_a_single_prompt(shift: int, used: bool) -> None:
    """3.5 % of 96 rows are 3.4."""
    task, (query, _) = task_of(1), blocks(shift)
    whole, zoomed = changed(task, zoom="off")(query).volume, task(query).volume
    assert np.array_equal(whole.voxels, zoomed.voxels) != used


def test_single_slices_and_single_labels_keep_their_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoom, "is_aligned_with_prompts", lambda *_: False)
    image, labels = blocks(0)
    one_label = LabelMap(np.where(labels.voxels == 5, 5, 0), AFFINE)
    for task in (task_of(1, slices=1), Predictor(Learner()).prompt([image], [one_label])):
        query = blocks(12, 1 if task.prompts.count[0] == 1 else 3)[0]
        whole, zoomed = changed(task, zoom="off")(query).volume, task(query).volume
        assert not np.array_equal(whole.voxels, zoomed.voxels)


def test_three_prompts_are_compared_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoom, "is_aligned_with_prompts", None)
    task_of(3)(blocks(12)[0])


@pytest.mark.parametrize(("shift", "aligned"), [(1, True), (20, False)])
def test_a_grid_of_prompts_that_lie_apart_is_not_even_tried(
    shift: int, aligned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [blocks(number * shift) for number in range(3)]
    task = Predictor(Learner()).prompt([image for image, _ in pairs], [labels for _, labels in pairs])
    assert task.zoom_pass is not None
    assert task.zoom_pass.regions[0][0].position is not None
    assert are_aligned(task.prompts) is aligned
    compared = list[object]()
    monkeypatch.setattr(zoom_gain, "_compared", lambda *arguments: compared.append(arguments) or np.ones((2, 2, 3)))
    served = zoom_gain.served_classes(task.cache, task.zoom_pass, task.options)
    assert bool(compared) is aligned
    if not aligned:
        assert not any(served)


def test_labels_of_a_single_volume_are_aligned() -> None:
    assert are_aligned(task_of(1).prompts)
