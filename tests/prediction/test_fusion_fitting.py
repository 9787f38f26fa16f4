"""Learnt fusion is fitted to annotated slices drawn at random, and becomes better than the model alone."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mvg.imaging.volume import Volume
from mvg.model.fusion import SCALE, Evidence
from mvg.prediction.fusion_fitting import fit_fusion
from mvg.prediction.fusion_samples import FusionSample, LabeledVolume, draw_samples
from mvg.prediction.inference.evidence import evidence_maps
from tests.prediction.learner import SIZE, Learner


def cone() -> LabeledVolume:
    """Disks that grow and shrink along twelve slices, on noise that says nothing of them."""
    rows, cols = np.mgrid[:SIZE, :SIZE]
    radii = 9 - np.abs(np.arange(16) - 7.5)
    numbers = np.stack([(np.hypot(rows - 16, cols - 16) < radius).astype(np.uint8) for radius in radii])
    slices = np.random.default_rng(0).uniform(0, 1, numbers.shape).astype(np.float32)
    return LabeledVolume(
        Volume(slices.transpose(2, 1, 0), np.diag([-1, -1, 3, 1.0])), "axial", slices[:, None], numbers, "MRI"
    )


@pytest.fixture(scope="module")
def samples() -> list[FusionSample]:
    return list(draw_samples(Learner(), cone(), 12, np.random.default_rng(0)))


def test_samples_hold_annotated_slices_and_the_truth(samples: list[FusionSample]) -> None:
    assert len(samples) == 12
    assert len({tuple(sample.annotated) for sample in samples}) > 5
    for sample in samples:
        assert sample.classes == [0]
        for number, square in sample.annotated.items():
            assert np.array_equal(square.numbers, sample.truth[sample.stack.numbers.index(number)])


def test_fitted_fusion_is_better_than_what_it_is_shown(samples: list[FusionSample]) -> None:
    ticks = iter(range(1000))
    losses: list[float] = []
    network = fit_fusion(
        {"cones": samples}, 40.0, 0, lambda seconds, loss: losses.append(loss), clock=lambda: float(next(ticks))
    )
    assert len(losses) > 15
    sample = samples[0]
    maps = torch.from_numpy(evidence_maps(sample.stack, sample.annotated, [0]))
    truth = torch.from_numpy((sample.truth == 1).astype(np.float32))
    with torch.inference_mode():
        before = F.binary_cross_entropy_with_logits(SCALE * maps[0, Evidence.log_odds], truth)
        after = F.binary_cross_entropy_with_logits(network(maps)[0], truth)
    assert after < 0.8 * before


def test_the_same_seed_fits_the_same_fusion(samples: list[FusionSample]) -> None:
    def fitted() -> torch.Tensor:
        ticks = iter(range(100))
        network = fit_fusion({"cones": samples}, 6.0, 3, lambda *_: None, clock=lambda: float(next(ticks)))
        return network.pixels.weight

    assert torch.equal(fitted(), fitted())
