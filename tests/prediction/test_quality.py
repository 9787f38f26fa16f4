"""An answer's estimated quality falls with the answer, and is made without its truth."""

import numpy as np
import pytest

from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap
from mvg.prediction.predictor import Predictor, PromptedTask
from mvg.prediction.quality import quality
from tests.prediction.learner import Learner
from tests.prediction.scans import scan


def task(count: int = 3) -> PromptedTask:
    images, labels = zip(*(scan(seed=number) for number in range(count)), strict=True)
    return Predictor(Learner()).prompt(images, labels, zoom="off")


def test_a_right_answer_brings_the_prompts_back_and_a_wrong_one_does_not() -> None:
    query, truth = scan(seed=9)
    assert quality(task(), query, truth) > 0.95
    half = LabelMap(np.where(truth.voxels == 700, 0, truth.voxels), truth.affine)
    assert 0.3 < quality(task(), query, half) < 0.7, "one of two labels was missed"
    aside = LabelMap(np.roll(truth.voxels, 9, axis=0), truth.affine)
    assert quality(task(), query, aside) < 0.5


def test_an_answer_that_finds_nothing_is_worth_nothing() -> None:
    query, truth = scan(seed=9)
    assert quality(task(), query, LabelMap(np.zeros_like(truth.voxels), truth.affine)) == 0


def test_pictures_have_no_such_estimate() -> None:
    image, _ = scan()
    made = Predictor(Learner()).prompt([image], [image], "denoising")
    with pytest.raises(PromptError, match="picture"):
        quality(made, image, scan()[1])
