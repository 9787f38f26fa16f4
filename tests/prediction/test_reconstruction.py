"""Reconstruction: predictions alternate with agreement with the raw data."""

import numpy as np
import pytest

from mvg.errors import PromptError
from mvg.imaging.volume import Volume
from mvg.prediction.predictor import Predictor
from mvg.prediction.reconstruction import RawPrompts, ReconstructionOptions, reconstruct, smoothed
from mvg.tasks.measurement import as_volume
from tests.prediction.learner import Learner
from tests.tasks.test_measurement import clean, error, measured


def test_each_round_predicts_what_the_last_one_made_consistent() -> None:
    measurement, received = measured("kspace"), list[np.ndarray]()

    def darken(image: Volume) -> Volume:
        received.append(np.asarray(image.pictures(image.plane)))
        return Volume(image.voxels * 0.5, image.affine)

    result = reconstruct(darken, measurement, ReconstructionOptions(rounds=2, smoothing=0))
    assert len(received) == 2
    assert np.allclose(received[0], measurement.initial())
    assert np.allclose(received[1], measurement.consistent(received[0] / 2), atol=1e-3)
    assert np.allclose(result.voxels, as_volume(measurement, measurement.consistent(received[1] / 2)).voxels, atol=1e-3)


@pytest.mark.parametrize("operator", ["kspace", "views"])
def test_total_variation_that_agrees_improves_the_picture(operator: str) -> None:
    measurement = measured(operator)
    result = smoothed(measurement, measurement.initial(), 10)
    assert error(result, operator) < 0.8 * error(measurement.initial(), operator)


def test_a_perfect_model_gives_the_truth() -> None:
    measurement, truth = measured("kspace"), clean("kspace")
    result = reconstruct(lambda image: truth, measurement, ReconstructionOptions(1, 0))
    assert np.abs(result.voxels - truth.voxels).mean() < 0.3 * error(measurement.initial(), "kspace")


def test_examples_are_measured_like_the_query() -> None:
    images, targets = RawPrompts((clean("kspace"),)).pairs(measured("kspace"))
    assert np.array_equal(targets[0].voxels, clean("kspace").voxels)
    assert np.abs(images[0].voxels - targets[0].voxels).mean() > 5
    given = RawPrompts((clean("kspace"),), (images[0],))
    assert given.pairs(measured("kspace"))[0] == [images[0]]


def test_a_predictor_reconstructs_on_the_grid_of_the_measurement() -> None:
    measurement = measured("kspace")
    result = Predictor(Learner()).reconstruct(measurement, RawPrompts((clean("kspace"),)), ReconstructionOptions(1, 2))
    assert result.affine.tobytes() == measurement.grid.affine.tobytes()
    assert result.shape == measurement.grid.shape
    assert np.isfinite(result.voxels).all()


@pytest.mark.parametrize(("rounds", "smoothing"), [(0, 0), (9, 0), (1, -1), (1, 101)])
def test_options_out_of_range_are_refused(rounds: int, smoothing: int) -> None:
    with pytest.raises(PromptError, match="of a reconstruction"):
        ReconstructionOptions(rounds, smoothing)
