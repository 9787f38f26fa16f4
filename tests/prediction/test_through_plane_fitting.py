"""The network that looks along a volume learns from volumes that were answered from one another."""

from itertools import count

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mvg.model.through_plane import ThroughPlane
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor
from mvg.prediction.through_plane_fitting import AnsweredVolume, answered_volumes, fit_through_plane
from tests.prediction.learner import SIZE, Learner
from tests.prediction.scans import scan


def flickering(slices: int = 16) -> AnsweredVolume:
    """A disk that is answered with a probability of .7 in most slices, and with .3 in every third one."""
    rows, cols = np.mgrid[:SIZE, :SIZE]
    truth = np.broadcast_to(np.hypot(rows - 16, cols - 16) < 9, (slices, SIZE, SIZE)).astype(np.uint8)
    level = np.where(np.arange(slices) % 3 == 1, 0.3, 0.7)[:, None, None]
    inside = np.where(truth == 1, level, 0.03)
    scores = np.log(np.stack([1 - inside, inside], axis=1)).astype(np.float16)
    return AnsweredVolume(np.full(truth.shape, 0.5, np.float16), scores, truth, False)


def test_it_learns_what_neighbors_say_of_a_slice() -> None:
    ticks, losses, volume = count(), list[float](), flickering()
    network = fit_through_plane(
        {"disks": [volume]}, 60.0, 0, lambda _, loss: losses.append(loss), clock=lambda: float(next(ticks))
    )
    assert len(losses) > 20
    slices = volume.part(slice(0, 12))
    box = slices.boxes()[1]
    maps = slices.maps(1, box)[None]
    truth = torch.from_numpy((volume.truth[:12, box[0], box[1]] == 1).astype(np.float32))
    with torch.inference_mode():
        before, after = (F.binary_cross_entropy_with_logits(one(maps)[0], truth) for one in (ThroughPlane(), network))
    assert after < 0.7 * before


def test_the_same_seed_fits_the_same_network() -> None:
    def fitted() -> torch.Tensor:
        ticks = count()
        return fit_through_plane(
            {"disks": [flickering()]}, 6.0, 3, lambda *_: None, clock=lambda: float(next(ticks))
        ).pixels.weight

    assert torch.equal(fitted(), fitted())


def test_volumes_without_a_likely_class_are_no_reason_to_stop() -> None:
    nothing, ticks = flickering(), count()
    nothing.scores[:, 1], nothing.scores[:, 0] = np.log(0.01), np.log(0.99)
    assert nothing.classes == []
    fit_through_plane(
        {"disks": [flickering()], "none": [nothing]}, 3.0, 0, lambda *_: None, clock=lambda: float(next(ticks))
    )


def test_each_prompt_volume_is_answered_from_the_others() -> None:
    images, labels = zip(*(scan((SIZE, SIZE, 5), seed=number) for number in range(3)), strict=True)
    task = Predictor(Learner()).prompt(images, labels, options=PredictionOptions(zoom="off"))
    volumes = list(answered_volumes(task))
    assert len(volumes) == 3
    for volume in volumes:
        assert volume.scores.shape == (5, len(task.prompts.values) + 1, SIZE, SIZE)
        right = (volume.scores.argmax(axis=1) == volume.truth).mean()
        assert right > 0.9


@pytest.mark.parametrize("stride", [1, 2])
def test_a_part_keeps_what_was_answered(stride: int) -> None:
    volume = flickering()
    part = volume.part(slice(0, None, stride))
    assert torch.allclose(part.probabilities.sum(dim=1), torch.ones(len(part.images), SIZE, SIZE), atol=2e-3)
