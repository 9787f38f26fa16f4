"""Prompts that are answered from one another."""

from pathlib import Path

import numpy as np
import pytest

from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.answer_summary import least_certain, summarize
from mvg.prediction.cross_check import cross_check
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompts.folder import open_prompts
from mvg.prediction.result import Confidence, Prediction
from tests.prediction.learner import Learner
from tests.prediction.scans import scan


def make_prompts(folder: Path, count: int) -> Path:
    for number in range(count):
        for part, volume in zip(("images", "targets"), scan(seed=number), strict=True):
            (folder / part).mkdir(parents=True, exist_ok=True)
            write(volume, folder / part / f"case{number}.nii.gz")
    return folder


def test_each_prompt_is_compared_with_its_truth_on_the_same_slice(tmp_path: Path) -> None:
    folder = open_prompts(make_prompts(tmp_path, 3))
    checks = list(cross_check(Predictor(Learner()), folder, PredictionOptions(zoom="off")))
    assert [check.title for check in checks] == ["case0", "case1", "case2"]
    for check in checks:
        assert set(check.dice) == {3, 700}
        assert min(check.dice.values()) > 0.9
        if min(check.dice.values()) == 1:
            assert check.predicted == check.truth


def test_one_prompt_cannot_be_checked(tmp_path: Path) -> None:
    folder = open_prompts(make_prompts(tmp_path, 1))
    assert list(cross_check(Predictor(Learner()), folder, PredictionOptions())) == []


@pytest.mark.parametrize("is_known", [True, False])
def test_the_least_certain_slice_has_labels(is_known: bool) -> None:
    labels, confidence = np.zeros((5, 8, 8), int), np.array([0.0, 0.9, 0.5, 0.8, 0.2])
    labels[1, :4], labels[2, :2], labels[4, 0, 0] = 1, 1, 1
    assert least_certain(labels, confidence if is_known else None) == (2 if is_known else 1)
    assert least_certain(np.zeros((5, 2, 2), int), None) == 2


def test_volumes_and_uncertainty_of_labels() -> None:
    voxels = np.zeros((10, 10, 3), np.uint8)
    voxels[:5, :, 1] = 4
    affine = np.diag([2.0, 2, 5, 1])
    query = Volume(np.random.default_rng(0).random((10, 10, 3), np.float32), affine)
    confidence = Confidence("axial", np.array([0.0, 0.75, 0.0]), {4: 0.75})
    summary = summarize(Prediction(LabelMap(voxels, affine), confidence=confidence), query, {4: 0.8})
    one = summary.labels[4]
    assert (one.milliliters, one.slices, one.uncertainty, one.quality) == (pytest.approx(1.0), 1, 0.25, 0.8)
    assert (summary.slice_number, summary.slice_count) == (2, 3)
