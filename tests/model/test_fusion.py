"""Learnt fusion: what it starts as, how far it looks, and how it is stored."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mvg.model.fusion import SCALE, Evidence, Fusion
from mvg.model.slice_network import REACH
from mvg.model.weights import fingerprint, load_weights, save_weights
from tests.prediction.learner import random_model, randomized


def evidence(slices: int = 20) -> torch.Tensor:
    return torch.randn(2, len(Evidence), slices, 32, 32, generator=torch.Generator().manual_seed(0))


def test_fusion_starts_as_the_log_odds_that_it_is_shown() -> None:
    maps = evidence()
    with torch.inference_mode():
        assert torch.equal(Fusion()(maps), SCALE * maps[:, Evidence.log_odds])


@torch.inference_mode()
def test_a_slice_depends_on_the_slices_within_reach_and_on_no_others() -> None:
    network, maps = randomized(Fusion()), evidence()
    changed = maps.clone()
    changed[:, :, 10] += 1
    difference = (network(changed) - network(maps)).abs().amax((0, 2, 3))
    reached = np.flatnonzero(difference.numpy() > 0)
    assert reached.min() == 10 - REACH
    assert reached.max() == 10 + REACH


@torch.inference_mode()
def test_classes_do_not_depend_on_one_another() -> None:
    network, maps = randomized(Fusion()), evidence()
    assert torch.allclose(network(maps)[1], network(maps[1:])[0], atol=1e-4)


def test_weights_are_stored_with_their_fusion_and_prompts_stay_valid(tmp_path: Path) -> None:
    model = random_model()
    plain = fingerprint(model)
    save_weights(model, tmp_path / "plain", "# Plain\n")
    assert load_weights(tmp_path / "plain").fusion is None
    model.fusion = randomized(Fusion())
    save_weights(model, tmp_path / "fused", "# Fused\n")
    loaded = load_weights(tmp_path / "fused")
    assert loaded.fusion is not None
    expected = model.fusion.stem.weight.detach().bfloat16().float()
    assert torch.equal(loaded.fusion.stem.weight, expected)
    assert fingerprint(model) == plain, "prompts are encoded alike"


@pytest.mark.parametrize("slices", [1, 2])
@torch.inference_mode()
def test_short_volumes_are_fused_too(slices: int) -> None:
    assert randomized(Fusion())(evidence(slices)).shape == (2, slices, 32, 32)
