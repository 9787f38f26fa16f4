"""The estimated quality falls with the prediction, and needs no truth."""

import numpy as np
import pytest

from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.quality import quality
from tests.prediction.learner import Learner, prompted
from tests.prediction.scans import AFFINE, scan


def task() -> PromptedTask:
    return prompted(Learner(), count=3, zoom="off")


def test_a_right_prediction_leads_back_to_the_prompts_and_a_wrong_one_does_not() -> None:
    query, truth = scan(seed=9)
    assert quality(task(), query, truth) > 0.95
    half = LabelMap(np.where(truth.voxels == 700, 0, truth.voxels), truth.affine)
    assert 0.3 < quality(task(), query, half) < 0.7, "one of two labels is missing"
    aside = LabelMap(np.roll(truth.voxels, 9, axis=0), truth.affine)
    assert quality(task(), query, aside) < 0.5


def test_an_empty_prediction_has_quality_0() -> None:
    query, truth = scan(seed=9)
    assert quality(task(), query, LabelMap(np.zeros_like(truth.voxels), truth.affine)) == 0


def test_the_quality_of_pictures_is_not_estimated() -> None:
    image, _ = scan()
    denoising = Predictor(Learner()).prompt([image], [image], "denoising")
    with pytest.raises(PromptError, match="picture"):
        quality(denoising, image, scan()[1])


def block(brightness: float, areas: tuple[int, ...]) -> tuple[Volume, LabelMap]:
    """One slice per area with a square of that side, bright or dark, labeled."""
    voxels = np.random.default_rng(len(areas)).uniform(95, 105, (32, 32, len(areas))).astype(np.float32)
    labels = np.zeros(voxels.shape, np.int32)
    for number, side in enumerate(areas):
        labels[8 : 8 + side, 8 : 8 + side, number] = 1
    voxels[labels > 0] = brightness
    voxels[0, 0], voxels[0, 1] = 0, 255
    return Volume(voxels, AFFINE), LabelMap(labels, AFFINE)


def test_the_quality_is_the_mean_over_prompt_volumes() -> None:
    """The prediction leads back to the labels of the first volume and not to those of the second one."""
    bright, dark = block(220, (12, 12)), block(30, (12, 12))
    images, labels = zip(bright, dark, strict=True)
    pair = Predictor(Learner()).prompt(images, labels, options=PredictionOptions(zoom="off"))
    query, truth = block(220, (12, 12))
    assert quality(pair, query, truth) == pytest.approx(0.5, abs=0.05)
    swapped = Predictor(Learner()).prompt(images[::-1], labels[::-1], options=PredictionOptions(zoom="off"))
    assert quality(swapped, query, truth) == pytest.approx(0.5, abs=0.05)


def test_the_slice_with_the_largest_labels_is_predicted() -> None:
    """The first slice of the prompt volume has a label that the prediction does not lead back to."""
    image, labels = block(220, (4, 14, 6))
    wrong = labels.voxels.copy()
    wrong[..., 0] = np.roll(wrong[..., 0], 15, axis=0)  # beside what is bright
    one = Predictor(Learner()).prompt([image], [LabelMap(wrong, AFFINE)], options=PredictionOptions(zoom="off"))
    query, truth = block(220, (12, 12))
    assert quality(one, query, truth) > 0.95
