"""The figures of a case are those of the benchmark's metrics, and volumes are counted on any grid."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from mvg.benchmark.evaluation.scores import (
    IMAGE_QUANTITIES,
    LABEL_QUANTITIES,
    CaseScores,
    image_scores,
    label_scores,
)
from mvg.benchmark.metrics import dice, hd95, nsd, psnr
from mvg.benchmark.protocol.metric import MetricInput
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window
from tests.imaging.grids import ORIENTATIONS, affine_of

AFFINE = affine_of(ORIENTATIONS[11], (0.7, 1.3, 3.1), (0.2, -0.1, 0.3))
VOXEL = 0.7 * 1.3 * 3.1 / 1000  # ml


def boxes() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Prediction and truth (20, 22, 8): label 1 shifted, 2 missing in the prediction, 5 not in the truth."""
    truth = np.zeros((20, 22, 8), np.uint8)
    truth[2:10, 3:12, 2:6], truth[14:18, 14:18, 3:5] = 1, 2
    prediction = np.zeros_like(truth)
    prediction[6:10, 3:12, 2:6], prediction[0:2, 0:2, 0:2] = 1, 5
    return prediction, truth


def by_part(scores: CaseScores, keys: tuple[str, ...]) -> dict[int | str, dict[str, float]]:
    return {one.part: dict(zip(keys, one.figures, strict=True)) for one in scores.parts}


LABEL_KEYS = tuple(one.key for one in LABEL_QUANTITIES)


def test_labels_are_measured_one_by_one() -> None:
    prediction, truth = (LabelMap(array, AFFINE) for array in boxes())
    scores = label_scores(prediction, truth)
    parts = by_part(scores, LABEL_KEYS)
    assert list(parts) == [1, 2, 5]
    common, predicted, true = 4 * 9 * 4, 4 * 9 * 4, 8 * 9 * 4
    assert parts[1]["dice"] == pytest.approx(2 * common / (predicted + true))
    assert parts[1]["iou"] == pytest.approx(common / true)
    assert parts[1]["predicted_ml"] == pytest.approx(predicted * VOXEL)
    assert parts[1]["true_ml"] == pytest.approx(true * VOXEL)
    assert parts[1]["difference_ml"] == pytest.approx((predicted - true) * VOXEL)
    diagonal = math.dist((0, 0, 0), np.multiply((20, 22, 8), (0.7, 1.3, 3.1)))
    for label, volumes in ((2, (0.0, 32 * VOXEL)), (5, (8 * VOXEL, 0.0))):
        assert [parts[label][key] for key in ("dice", "iou", "nsd")] == [0, 0, 0]
        assert parts[label]["hd95_mm"] == pytest.approx(diagonal)
        assert (parts[label]["predicted_ml"], parts[label]["true_ml"]) == pytest.approx(volumes)


def test_the_figures_are_those_of_the_benchmark() -> None:
    prediction, truth = (LabelMap(array, AFFINE) for array in boxes())
    inputs = MetricInput(prediction, truth, truth.plane, {1: "liver"}, None, {"whole": None})
    scores = label_scores(prediction, truth)
    for metric, key in ((dice.METRIC, "dice"), (nsd.METRIC, "nsd"), (hd95.METRIC, "hd95_mm")):
        (score,) = metric.measure(inputs)
        assert scores.overall[LABEL_KEYS.index(key)] == score.value
        assert by_part(scores, LABEL_KEYS)[1][key] == score.by_label["liver"]
    assert 0 < by_part(scores, LABEL_KEYS)[1]["nsd"] < 1


def test_a_case_without_labels_is_perfect_and_has_no_parts() -> None:
    empty = LabelMap(np.zeros((4, 4, 4), np.uint8), AFFINE)
    scores = label_scores(empty, empty)
    assert scores.parts == ()
    assert scores.overall[:4] == (1, 1, 1, 0)
    assert all(math.isnan(volume) for volume in scores.overall[4:])


def test_pictures_are_measured_in_the_body_and_as_a_whole() -> None:
    rng = np.random.default_rng(0)
    voxels = np.zeros((20, 20, 3), np.float32)
    voxels[5:15, 5:15] = rng.uniform(50, 100, (10, 10, 3))
    truth = Volume(voxels, AFFINE)
    prediction = Volume(voxels + rng.normal(0, 3, voxels.shape).astype(np.float32), AFFINE)
    parts = by_part(image_scores(prediction, truth), tuple(one.key for one in IMAGE_QUANTITIES))
    assert list(parts) == ["body", "whole"]
    inputs = MetricInput(prediction, truth, truth.plane, {}, Window.fit(voxels), {"whole": None})
    assert parts["whole"]["psnr_db"] == psnr.METRIC.measure(inputs)[0].value
    assert parts["body"]["psnr_db"] < parts["whole"]["psnr_db"]


def test_similarity_of_small_pictures_is_not_a_number() -> None:
    small = Volume(np.random.default_rng(0).uniform(0, 1, (5, 5, 1)).astype(np.float32), np.eye(4))
    psnr_db, ssim, mae = image_scores(small, small).overall
    assert (psnr_db, mae) == (100, 0)
    assert math.isnan(ssim)
