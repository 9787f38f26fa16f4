"""The network that looks along a volume: how far it looks, and how it is stored and dropped."""

from pathlib import Path

import numpy as np
import torch

from mvg.model.slice_network import REACH
from mvg.model.through_plane import Answered, ThroughPlane
from mvg.model.weights import fingerprint, load_weights, save_weights
from tests.prediction.learner import random_model, randomized


@torch.inference_mode()
def test_a_slice_depends_on_the_slices_within_reach_and_on_no_others() -> None:
    network = randomized(ThroughPlane())
    maps = torch.randn(1, len(Answered), 20, 32, 40, generator=torch.Generator().manual_seed(0))
    changed = maps.clone()
    changed[:, :, 10] += 1
    difference = (network(changed) - network(maps)).abs().amax((0, 2, 3))
    reached = np.flatnonzero(difference.numpy() > 0)
    assert (reached.min(), reached.max()) == (10 - REACH, 10 + REACH)


def test_weights_are_stored_with_it_and_prompts_stay_valid(tmp_path: Path) -> None:
    model = random_model()
    plain = fingerprint(model)
    model.through_plane = randomized(ThroughPlane())
    save_weights(model, tmp_path / "joined", "# Joined\n")
    loaded = load_weights(tmp_path / "joined")
    assert loaded.through_plane is not None
    assert loaded.fusion is None
    expected = model.through_plane.stem.weight.detach().bfloat16().float()
    assert torch.equal(loaded.through_plane.stem.weight, expected)
    assert fingerprint(model) == plain
    loaded.drop_fitted()
    assert not any(name.startswith("through_plane") for name in loaded.state_dict())
