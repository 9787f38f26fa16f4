"""Reconstruction from raw data: what the examples go through, and that each step agrees with what was measured."""

from collections.abc import Callable

import numpy as np
import pytest

from mvg.errors import PromptError
from mvg.imaging.volume import Volume
from mvg.model.matching import MatchingForm
from mvg.prediction.predictor import Predictor
from mvg.prediction.reconstruction import Learn, ReconstructionOptions, reconstruct, smoothed
from mvg.tasks.measurement import as_volume
from tests.prediction.learner import Learner, random_model, randomized
from tests.tasks.test_measurement import clean, error, measured


def taught(predict: Callable[[Volume], Volume]) -> Learn:
    return lambda _images, _targets: predict


def never(_images: list[Volume], _targets: list[Volume]) -> Callable[[Volume], Volume]:
    raise AssertionError("no rounds of the model were wanted")


def test_each_round_predicts_what_the_last_one_made_consistent() -> None:
    measurement, received = measured("kspace"), list[np.ndarray]()

    def darken(image: Volume) -> Volume:
        received.append(np.asarray(image.pictures(image.plane)))
        return Volume(image.voxels * 0.5, image.affine)

    options = ReconstructionOptions(rounds=2, smoothing=0)
    result = reconstruct(taught(darken), measurement, [clean("kspace")], options)
    assert len(received) == 2
    assert np.allclose(received[1], measurement.consistent(received[0] / 2), atol=1e-3)
    assert np.allclose(result.voxels, as_volume(measurement, measurement.consistent(received[1] / 2)).voxels, atol=1e-3)


def test_the_model_learns_from_examples_in_the_state_of_the_query() -> None:
    measurement = measured("kspace")
    requests = list[tuple[list[Volume], list[Volume], Volume]]()

    def learn(images: list[Volume], targets: list[Volume]) -> Callable[[Volume], Volume]:
        def predict(image: Volume) -> Volume:
            requests.append((images, targets, image))
            return image

        return predict

    reconstruct(learn, measurement, [clean("kspace")], ReconstructionOptions(1, 5))
    ((images, targets, query),) = requests
    truth = clean("kspace").voxels
    zero_filled = np.abs(as_volume(measurement, measurement.initial()).voxels - truth).mean()
    left = [np.abs(volume.voxels - truth).mean() for volume in (*images, query)]
    assert np.array_equal(targets[0].voxels, truth)
    assert 0 < min(left) <= max(left) < 0.5 * zero_filled


@pytest.mark.parametrize("operator", ["kspace", "views"])
def test_total_variation_that_agrees_improves_the_picture(operator: str) -> None:
    measurement = measured(operator)
    result = smoothed(measurement, measurement.initial(), 10)
    assert error(result, operator) < 0.8 * error(measurement.initial(), operator)


@pytest.mark.parametrize("operator", ["kspace", "views"])
def test_examples_add_to_total_variation_without_the_model(operator: str) -> None:
    measurement = measured(operator)
    result = reconstruct(never, measurement, [clean(operator)], ReconstructionOptions(0, 10))
    smooth = smoothed(measurement, measurement.initial(), 10)
    assert error(result.pictures(result.plane), operator) < 0.9 * error(smooth, operator)


def test_a_perfect_model_gives_the_truth() -> None:
    measurement, truth = measured("kspace"), clean("kspace")
    result = reconstruct(taught(lambda _: truth), measurement, [truth], ReconstructionOptions(1, 0))
    assert np.abs(result.voxels - truth.voxels).mean() < 0.3 * error(measurement.initial(), "kspace")


def test_long_examples_are_thinned() -> None:
    lengths = list[int]()

    def learn(images: list[Volume], targets: list[Volume]) -> Callable[[Volume], Volume]:
        lengths.extend(volume.shape[2] for volume in (*images, *targets))
        return lambda image: image

    reconstruct(learn, measured("kspace"), [clean("kspace", 30), clean("kspace", 3)], ReconstructionOptions(1, 0))
    assert lengths == [10, 3, 10, 3]


def test_a_predictor_reconstructs_on_the_grid_of_the_measurement() -> None:
    measurement = measured("kspace")
    result = Predictor(Learner()).reconstruct(measurement, [clean("kspace")], ReconstructionOptions(1, 2))
    assert result.affine.tobytes() == measurement.grid.affine.tobytes()
    assert result.shape == measurement.grid.shape
    assert np.isfinite(result.voxels).all()


def test_the_refiner_of_pictures_takes_no_part() -> None:
    measurement, options = measured("kspace"), ReconstructionOptions(rounds=1, smoothing=1)
    model = random_model()
    plain = Predictor(model).reconstruct(measurement, [clean("kspace")], options).voxels
    assert isinstance(model.form, MatchingForm)
    randomized(model.form.add_refiner())
    assert np.array_equal(Predictor(model).reconstruct(measurement, [clean("kspace")], options).voxels, plain)
    assert model.form.refiner is not None


@pytest.mark.parametrize(("rounds", "smoothing"), [(-1, 0), (9, 0), (1, -1), (1, 101)])
def test_options_out_of_range_are_refused(rounds: int, smoothing: int) -> None:
    with pytest.raises(PromptError, match="of a reconstruction"):
        ReconstructionOptions(rounds, smoothing)


def test_no_complete_volume_is_refused() -> None:
    with pytest.raises(PromptError, match="no complete volumes"):
        reconstruct(never, measured("kspace"), [], ReconstructionOptions())
