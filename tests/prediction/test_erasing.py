"""Tasks that erase label what is kept, as a segmentation does, and answer with the query's own pixels."""

from pathlib import Path

import numpy as np
import pytest

from mvg.app.checking import CheckRequest, check
from mvg.errors import PromptError
from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompts.pairs import kept_pixels
from mvg.tasks import spec_of
from tests.prediction.learner import Learner
from tests.prediction.scans import scan


def without_background(image: Volume, labels: LabelMap) -> Volume:
    """The image where labels are, its lowest intensity elsewhere."""
    return Volume(np.where(labels.voxels == 700, image.voxels, image.voxels.min()), image.affine)


def test_pixels_are_kept_or_erased_and_keep_their_intensity() -> None:
    pairs = [scan(seed=number) for number in range(2)]
    images, targets = [image for image, _ in pairs], [without_background(*pair) for pair in pairs]
    task = Predictor(Learner()).prompt(images, targets, "skull_stripping")
    query, truth = scan(seed=9)
    answer = task(query)
    assert isinstance(answer.volume, Volume)
    assert np.array_equal(answer.volume.voxels, without_background(query, truth).voxels)
    assert np.array_equal(answer.volume.affine, query.affine)
    assert answer.confidence is None
    assert task.spec == spec_of("skull_stripping"), "what it answers is a picture"


def test_dark_holes_of_what_is_kept_are_kept() -> None:
    y, x = np.mgrid[:40, :40] - 19.5
    radius = np.hypot(x, y)
    target = np.where((radius < 15) & (radius > 4), 0.5, 0.0).astype(np.float32)[..., None]
    kept = kept_pixels(Volume(target, np.eye(4)))
    assert np.array_equal(kept.voxels[..., 0], radius < 15)


def test_a_check_reads_what_is_kept(tmp_path: Path) -> None:
    for number in range(2):
        image, labels = scan(seed=number)
        for name, volume in (("images", image), ("targets", without_background(image, labels))):
            (tmp_path / name).mkdir(exist_ok=True)
            write(volume, tmp_path / name / f"{number}.nii.gz")
    report = check(CheckRequest(tmp_path, task="skull_stripping"))
    assert [list(facts.labels) for facts in report.files] == [[1], [1]]


def test_examples_that_keep_nothing_are_refused() -> None:
    image, _ = scan()
    with pytest.raises(PromptError, match="0 label values"):
        Predictor(Learner()).prompt([image], [Volume(np.zeros_like(image.voxels), image.affine)], "skull_stripping")
