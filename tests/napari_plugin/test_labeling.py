"""Painted slices become corrections, in any plane, and predictions leave them as they are."""

import numpy as np
import pytest

from mvg.errors import PromptError
from mvg.imaging.volume import Volume
from mvg.napari_plugin.geometry import layer_array
from mvg.napari_plugin.labeling import Example, Labeling
from mvg.prediction.predictor import Predictor
from tests.prediction.learner import random_model
from tests.prediction.scans import scan


def labeling() -> Labeling:
    return Labeling(lambda: Predictor(random_model(), "random"))


def predicted(work: Labeling) -> np.ndarray:
    for _ in work.updates():
        pass
    return work.displayed.copy()


def test_the_painted_slice_is_kept_bit_for_bit_and_the_others_are_answered() -> None:
    image, labels = scan(seed=2)
    truth, work = layer_array(labels), labeling()
    work.open(image, (3, 700))
    layer = work.displayed.copy()
    layer[3] = truth[3]
    assert work.take(layer, axis=0) == [3]
    answer = predicted(work)
    assert np.array_equal(answer[3], truth[3])
    assert answer[[0, 1, 2, 4, 5]].any()
    assert set(np.unique(answer)) <= {0, 3, 700}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_of_any_plane_are_taken_across_the_displayed_axis(axis: int) -> None:
    image, labels = scan(seed=2)
    truth, work = layer_array(labels), labeling()
    work.open(image, (3, 700))
    index = int(np.argmax([truth.take(number, axis).any() for number in range(truth.shape[axis])]))
    layer = work.displayed.copy()
    where = tuple(index if other == axis else slice(None) for other in range(3))
    layer[where] = truth[where]
    assert work.take(layer, axis) == [index]
    assert np.array_equal(predicted(work)[where], truth[where])


def test_a_confirmed_slice_counts_although_nothing_was_painted_and_undo_takes_steps_back() -> None:
    image, labels = scan(seed=2)
    truth, work = layer_array(labels), labeling()
    work.open(image, (3, 700))
    layer = work.displayed.copy()
    layer[2] = truth[2]
    assert work.take(layer, 0, confirmed=(2, 4)) == [2, 4]
    assert work.take(work.displayed, 0) == []
    assert [(axis, index) for axis, index, _ in work.undo()] == [(0, 4)]
    ((axis, index, before),) = work.undo()
    assert (axis, index) == (0, 2)
    assert not before.any()
    assert not work.displayed.any()
    assert work.undo() == []


def test_a_label_that_the_task_lacks_is_refused_and_nothing_is_taken() -> None:
    image, _ = scan(seed=2)
    work = labeling()
    work.open(image, (3, 700))
    layer = work.displayed.copy()
    layer[1, 4, 4], layer[2] = 3, 5
    with pytest.raises(PromptError, match="label 5"):
        work.take(layer, 0)
    assert not work.displayed.any()
    assert work.undo() == []


def test_examples_answer_an_image_before_any_correction() -> None:
    work = labeling()
    work.examples.append(Example("one", *scan(seed=1)))
    image, _ = scan(seed=2)
    work.open(image, ())
    assert work.values == (3, 700)
    assert predicted(work).shape == image.shape[::-1]
    assert work.uncertain() is not None


def test_asking_before_anything_is_labeled_is_one_line() -> None:
    work = labeling()
    with pytest.raises(PromptError, match="press Answer"):
        work.undo()
    work.open(Volume(np.zeros((8, 8, 3)), np.eye(4)), (1,))
    with pytest.raises(PromptError, match="label one slice first"):
        predicted(work)
    with pytest.raises(PromptError, match="no example"):
        work.task()
