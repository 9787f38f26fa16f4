"""Slices through the model: labels from probabilities, batches, uncertainty, and probabilities that change nothing."""

from typing import Any

import numpy as np
import pytest

from mvg.errors import PromptError
from mvg.imaging.frame import Frame
from mvg.imaging.volume import Volume
from mvg.imaging.window import Window
from mvg.prediction.inference import volume_prediction
from mvg.prediction.inference.query_volume import QueryVolume
from mvg.prediction.inference.slices import decode_labels
from mvg.prediction.predictor import Predictor
from tests.prediction.learner import SIZE, Learner, changed, prompted, random_model
from tests.prediction.scans import scan


def two_classes() -> tuple[QueryVolume, np.ndarray]:
    """A slice with a square of class 1 at a probability of 0.6, and of class 2 at 0.9."""
    frame = Frame.letterbox((SIZE, SIZE), (1.0, 1.0), SIZE)
    query = QueryVolume(np.zeros((1, 1, SIZE, SIZE), np.float32), "axial", (Window(0, 1),), (frame,))
    probabilities = np.zeros((1, 3, SIZE, SIZE), np.float32)
    probabilities[:, 0] = 1
    probabilities[0, :, 4:10, 4:10] = np.array([0.4, 0.6, 0.0])[:, None, None]
    probabilities[0, :, 20:28, 20:28] = np.array([0.1, 0.0, 0.9])[:, None, None]
    return query, probabilities


def test_labels_are_the_most_probable_classes_with_their_mean_probability_and_area() -> None:
    query, probabilities = two_classes()
    labels = decode_labels(query, probabilities)
    truth = np.zeros((SIZE, SIZE), int)
    truth[4:10, 4:10], truth[20:28, 20:28] = 1, 2
    assert np.array_equal(labels.numbers, truth)
    assert labels.area.tolist() == [36, 64]
    assert labels.confidence == pytest.approx([0.6, 0.9], abs=1e-5)


def test_a_part_of_a_volume_knows_where_its_slices_lie() -> None:
    frame = Frame.letterbox((SIZE, SIZE), (1.0, 1.0), SIZE)
    slices = np.random.default_rng(0).random((9, 1, SIZE, SIZE)).astype(np.float32)
    whole = QueryVolume(slices, "axial", (Window(0, 1),), (frame,))
    part = whole.part(range(2, 8)).part(range(1, 4))
    assert (len(part), part.length, whole.length) == (3, 9, 9)
    for number in range(3):
        squares = part.squares(number)
        assert np.array_equal(squares, whole.squares(3 + number))
        described = part.query_slice(number, squares, lambda square: np.zeros(4))
        assert (described.index, described.count) == (3 + number, 9)


def test_uncertainty_is_the_entropy_over_the_largest_entropy() -> None:
    query, probabilities = two_classes()
    uncertainty = decode_labels(query, probabilities).uncertainty
    assert uncertainty[0, 0] == 0
    assert uncertainty[6, 6] == pytest.approx(-(0.4 * np.log(0.4) + 0.6 * np.log(0.6)) / np.log(3), abs=1e-5)
    probabilities[:] = 1 / 3
    assert decode_labels(query, probabilities).uncertainty == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("form", ["matching", "painting", "merged"])
@pytest.mark.parametrize("zoom", ["off", "auto"])
def test_probabilities_sum_to_1_agree_with_the_labels_and_change_nothing(form: str, zoom: str) -> None:
    query, _ = scan((33, 47, 4), seed=9)
    task = prompted(random_model(form), zoom=zoom, min_probability=0.0)
    plain, both = task(query), changed(task, probabilities=True, uncertainty=True)(query)
    assert np.array_equal(plain.volume.voxels, both.volume.voxels)
    probabilities = both.probabilities
    assert probabilities is not None
    assert probabilities.values == (0, 3, 700)
    volumes = [probabilities.of(value).voxels for value in probabilities.values]
    assert all(volume.shape == query.shape for volume in volumes)
    assert sum(volumes) == pytest.approx(1, abs=4e-3)
    best = np.array(probabilities.values)[np.argmax(volumes, axis=0)]
    decided = np.ptp(np.sort(volumes, axis=0)[-2:], axis=0) > 2e-3  # 16 bit decide no closer
    assert np.array_equal(best[decided], both.volume.voxels[decided])
    with pytest.raises(PromptError, match="label 5"):
        probabilities.of(5)


def test_probabilities_of_a_grid_in_another_orientation_lie_where_the_labels_are() -> None:
    affine = np.array([[0, 0, 1.2, 1], [-1.2, 0, 0, 2], [0, 5.0, 0, 3], [0, 0, 0, 1]])
    query, truth = scan((SIZE, 6, SIZE), affine, seed=9)
    prediction = prompted(Learner(), probabilities=True, zoom="off")(query)
    assert prediction.probabilities is not None
    for value in (3, 700):
        volume = prediction.probabilities.of(value)
        assert isinstance(volume, Volume)
        assert np.array_equal(volume.affine, query.affine)
        assert np.array_equal(volume.voxels > 0.5, truth.voxels == value)


def test_probabilities_beyond_the_budget_are_kept_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    query, _ = scan(seed=9)
    task = prompted(Learner(), probabilities=True, zoom="off")
    in_memory = task(query).probabilities
    monkeypatch.setattr(volume_prediction, "_MEMORY_BYTES", 0)
    on_disk = task(query).probabilities
    assert in_memory is not None
    assert on_disk is not None
    assert not isinstance(in_memory.slices, np.memmap)
    assert isinstance(on_disk.slices, np.memmap)
    assert np.array_equal(in_memory.slices, on_disk.slices)


@pytest.mark.parametrize("form", ["matching", "painting", "merged"])
@pytest.mark.parametrize("kind", ["segmentation", "synthesis", "denoising"])
def test_uncertainty_changes_no_prediction(form: str, kind: str) -> None:
    image, labels = scan((40, 36, 3))
    target = labels if kind == "segmentation" else image
    task = Predictor(random_model(form)).prompt([image, image], [target, target], kind)
    query, _ = scan((33, 47, 3), seed=9)
    plain, other = task(query), changed(task, uncertainty=True)(query)
    assert plain.uncertainty is None
    assert np.array_equal(plain.volume.voxels, other.volume.voxels)
    assert other.uncertainty is not None
    assert other.uncertainty.shape == query.shape
    assert 0 <= other.uncertainty.voxels.min() < other.uncertainty.voxels.max() <= 1


def test_prompts_are_encoded_once_and_queries_answered_in_small_batches() -> None:
    learner = Learner()
    task = prompted(learner, num_prompts=12, zoom="off", min_probability=0.0)
    task(scan((32, 32, 6), seed=9)[0])
    assert learner.encoded <= 12
    task(scan((32, 32, 40), seed=8)[0])
    assert learner.encoded <= 12
    assert learner.largest_batch <= 8


@pytest.mark.parametrize("options", [{}, {"members": 2}])
def test_a_label_that_the_prompts_lack_has_probability_0(options: dict[str, Any]) -> None:
    task = prompted(Learner(), probabilities=True, zoom="off", num_prompts=1, **options)
    task.prompts.targets[task.prompts.targets == 2] = 0
    prediction = task(scan(seed=9)[0])
    assert prediction.probabilities is not None
    assert not prediction.probabilities.of(700).voxels.any()
