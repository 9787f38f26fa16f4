"""Voids are filled at the slice's own resolution; what lies beside them stays as it is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mvg.imaging.volume import Volume
from mvg.prediction.predictor import Predictor
from tests.prediction.learner import Filler

AFFINE = np.diag([0.7, 0.7, 3, 1])


def filled(model: Filler, holed: NDArray[np.float32], whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a task with one pair predicts for its own image."""
    query, target = Volume(holed, AFFINE), Volume(whole, AFFINE)
    return Predictor(model).prompt([query], [target], "inpainting")(query).volume.voxels


def test_a_filled_void_has_a_sharp_rim_and_what_lies_beside_it_stays() -> None:
    rng = np.random.default_rng(0)
    whole = rng.uniform(50, 100, (90, 90, 2)).astype(np.float32)
    whole[:2] = 100
    holed = whole.copy()
    holed[30:60, 41:66] = 0
    holed[80:, 80:] = 0  # the window begins here
    prediction = filled(Filler(), holed, whole)
    assert np.array_equal(prediction[holed > 0], holed[holed > 0])
    void = prediction[30:60, 41:66]
    assert void.min() > 50, "not dark at its rim"
    assert 68 < void[5:-5, 5:-5].min() < void[5:-5, 5:-5].max() < 76, "mostly smooth (75), a quarter as predicted (60)"


@pytest.mark.parametrize(("filling", "kept"), [(0.7, False), (0.2, True), (1.0, True)])
def test_a_void_is_filled_smoothly_unless_the_prediction_differs_much(filling: float, kept: bool) -> None:
    ramp = np.linspace(46, 66, 90, dtype=np.float32)[:, None, None]
    whole = np.broadcast_to(ramp, (90, 90, 2)).copy()
    whole[:2] = 100
    holed = whole.copy()
    holed[35:60, 30:60] = 0
    holed[:2, :2] = 0
    prediction = filled(Filler(filling), holed, whole)
    void, truth = prediction[38:57, 33:57], whole[38:57, 33:57]
    if kept:
        np.testing.assert_allclose(void, 100 * filling, atol=1)
    else:
        assert np.abs(void - truth).max() < 0.5 * np.abs(100 * filling - truth).max()


def test_air_beside_a_filled_void_of_a_ct_keeps_its_hu() -> None:
    whole = np.full((90, 90, 2), 60, np.float32)
    whole[30:60, 66:80] = -850  # lung, as black in the window as the void
    holed = whole.copy()
    holed[30:60, 41:66] = -1024
    prediction = filled(Filler(), holed, whole)
    assert (prediction[30:60, 66:80] == -850).all()
    assert prediction[32:58, 43:64].min() > 0


def test_a_void_is_recognized_beside_more_air_that_was_brightened_too() -> None:
    whole = np.full((90, 90, 2), 60, np.float32)
    whole[5:85, 55:85] = np.random.default_rng(0).uniform(-900, -800, (80, 30, 2))
    holed = whole.copy()
    holed[30:60, 10:30] = -1024
    prediction = filled(Filler(darkest=1e-3), holed, whole)
    assert prediction[32:58, 12:28].min() > 0
    assert (prediction[8:82, 58:82] == whole[8:82, 58:82]).all()


@pytest.mark.parametrize(("noise", "stays"), [(0, True), (8, False)])
def test_what_prompts_never_change_stays_bit_for_bit(noise: float, stays: bool) -> None:
    """The prediction is darker by a little everywhere; targets with noise show that more than voids changes."""
    rng = np.random.default_rng(0)
    whole = rng.uniform(50, 100, (90, 90, 2)).astype(np.float32)
    whole[:2] = 100
    holed = whole.copy()
    holed[30:60, 41:66] = 0
    target = whole + noise * rng.standard_normal(whole.shape).astype(np.float32)
    query, plain = Volume(holed, AFFINE), Volume(whole, AFFINE)
    task = Predictor(Filler(darker=0.05)).prompt([query], [Volume(target, AFFINE)], "inpainting")
    filled_query, without_void = task(query).volume.voxels, task(plain).volume.voxels
    assert np.array_equal(filled_query[holed > 0], holed[holed > 0]) == stays
    assert np.array_equal(without_void, whole) == stays
    assert filled_query[32:58, 43:64].min() > 45
