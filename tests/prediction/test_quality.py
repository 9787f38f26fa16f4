"""The estimated quality follows the probabilities of what was predicted, and needs no truth."""

import numpy as np
import pytest

from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.inference.volume_prediction import VolumePrediction
from mvg.prediction.predictor import Predictor
from mvg.prediction.quality import EXPONENT, expected_quality, quality_of
from mvg.prediction.result import Confidence, Prediction
from tests.prediction.learner import Learner, prompted
from tests.prediction.scans import AFFINE, scan


def prediction(labels: dict[int, float]) -> Prediction:
    volume = LabelMap(np.zeros((4, 4, 2), np.int32), AFFINE)
    return Prediction(volume, confidence=Confidence("axial", np.ones(2), labels))


def test_estimates_are_probabilities_in_the_scale_of_dice() -> None:
    estimates = quality_of(prediction({1: 1.0, 700: 0.5}))
    assert estimates is not None
    assert estimates.by_label == {1: 1.0, 700: 0.5**EXPONENT}
    assert estimates.mean == pytest.approx((1 + 0.5**EXPONENT) / 2)


def test_an_empty_prediction_has_quality_0() -> None:
    estimates = quality_of(prediction({}))
    assert estimates is not None
    assert (estimates.mean, dict(estimates.by_label)) == (0.0, {})


def test_a_label_is_worth_what_is_likely_right_of_it_and_labels_count_alike() -> None:
    estimates = expected_quality({3: 100, 5: 10, 700: 0}, {3: 20.0, 5: 10.0, 700: 4.0})
    assert estimates.by_label == {3: 0.9, 5: 0.5}
    assert estimates.mean == pytest.approx(0.7)
    assert expected_quality({3: 0}, {3: 1.0}).mean == 0


def test_the_quality_of_pictures_and_sessions_is_not_estimated() -> None:
    image, _ = scan()
    assert quality_of(Predictor(Learner()).prompt([image], [image], "denoising")(image)) is None
    assert quality_of(Prediction(LabelMap(np.zeros((4, 4, 2), np.int32), AFFINE))) is None


def test_labels_that_are_plain_to_see_have_a_higher_quality_than_faint_ones() -> None:
    task, (query, truth) = prompted(Learner(), count=3, zoom="off", through_plane="off"), scan(seed=9)
    plain = quality_of(task(query))
    faint = np.where(truth.voxels == 700, query.voxels * 0.55, query.voxels).astype(np.float32)
    doubtful = quality_of(task(Volume(faint, query.affine)))
    assert plain is not None
    assert doubtful is not None
    assert set(plain.by_label) == set(truth.values)
    assert plain.mean > doubtful.mean


def test_rejected_labels_do_not_count() -> None:
    area = np.array([[10, 5], [30, 5]])
    confidence = np.array([[0.5, 0.9], [0.9, 0.2]], np.float32)
    rejected = np.array([[True, False], [False, True]])
    volume = VolumePrediction(np.zeros((2, 8, 8), np.uint8), area > 0, confidence, area, rejected)
    assert volume.label_confidence((3, 4)) == pytest.approx({3: 0.9, 4: 0.9})
    volume.rejected[:, 1] = True
    assert set(volume.label_confidence((3, 4))) == {3}
