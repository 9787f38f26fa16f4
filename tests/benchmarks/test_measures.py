"""The figures: exact on cases that can be counted by hand."""

import numpy as np
import pytest

from benchmarks.measures import likeness, overlaps
from benchmarks.summary import interval
from mvg.imaging.volume import Volume
from mvg.imaging.window import Window

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def test_overlap_is_counted_per_label_and_averaged() -> None:
    truth = np.array([1, 1, 1, 2, 2, 0])
    answer = np.array([1, 1, 0, 2, 0, 2])  # label 1: 2 of 3; label 2: 1 of 3
    assert overlaps(answer, truth) == {"IoU": pytest.approx(0.5), "Dice": pytest.approx((4 / 5 + 2 / 4) / 2)}


def test_a_label_that_is_not_there_counts_with_zero() -> None:
    truth = np.array([1, 1, 0, 0])
    assert overlaps(np.array([1, 1, 3, 0]), truth)["IoU"] == pytest.approx(0.5)
    assert overlaps(np.array([0, 0, 0, 0]), truth)["IoU"] == 0
    assert overlaps(np.zeros(4, int), np.zeros(4, int)) == {"IoU": 1.0, "Dice": 1.0}


def test_likeness_is_measured_in_the_window_and_region() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 100, (16, 16, 2))
    answer = truth.copy()
    region = np.zeros(truth.shape, bool)
    region[:8] = True
    truth[:8], answer[:8] = 50, 60  # a tenth of the window
    said = likeness(Volume(answer, AFFINE), Volume(truth, AFFINE), Window(0, 100), "axial", {"a": region, "b": None})
    assert said["a"]["PSNR"] == pytest.approx(20, abs=1e-4)
    assert said["a"]["MAE"] == pytest.approx(0.1, abs=1e-6)
    assert said["b"]["PSNR"] == pytest.approx(10 * np.log10(2 / 0.01), abs=1e-4)
    assert said["a"]["SSIM"] < said["b"]["SSIM"] < 1


def test_likeness_of_the_truth_itself_is_bounded() -> None:
    truth = Volume(np.random.default_rng(0).uniform(-500, 500, (16, 16, 2)), AFFINE)
    said = likeness(truth, truth, Window(-160, 240), "axial", {"whole": None})["whole"]
    assert said["PSNR"] == pytest.approx(100)
    assert said["SSIM"] == pytest.approx(1)


def test_intervals_redraw_patients_not_cases() -> None:
    one = [{"patient": "p", "value": value} for value in (0.0, 1.0)]
    said = interval([one])
    assert (said.mean, said.low, said.high) == (0.5, 0.5, 0.5)  # one patient cannot vary
    two = [{"patient": "p", "value": 0.0}, {"patient": "q", "value": 1.0}]
    said = interval([two])
    assert (said.mean, said.low, said.high) == (0.5, 0.0, 1.0)


def test_sets_weigh_alike_whatever_their_size() -> None:
    small, large = [{"patient": "p", "value": 1.0}], [{"patient": "q", "value": 0.0}] * 9
    assert interval([small, large]).mean == 0.5
