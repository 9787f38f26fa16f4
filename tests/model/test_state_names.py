"""Files with the names of before still load, and fingerprints stay."""

import pytest
import torch

from mvg.model.generalist import Generalist
from mvg.model.state_names import current_name, original_name
from mvg.model.weights import fingerprint, load_weights
from tests.model.small import SHAPES, network

RENAMED = {
    "form.images.enter.weight": "form.image_encoder.enter.weight",
    "form.targets.see.bias": "form.target_encoder.from_image.bias",
    "form.targets.mask_token": "form.target_encoder.mask_token",
    "form.decoder.see.weight": "form.decoder.from_image.weight",
    "form.ridge.shrink": "form.ridge.log_ridge_penalty",
    "form.kind": "form.stream_embedding",
}


@pytest.mark.parametrize(("old", "new"), list(RENAMED.items()))
def test_names_of_before_become_those_of_today_and_back(old: str, new: str) -> None:
    assert current_name(old) == current_name(new) == new
    assert original_name(new) == old


@pytest.mark.parametrize("shape", ["matching", "merged"])
def test_a_state_with_the_names_of_before_loads(shape: str) -> None:
    model, fresh = network(shape), Generalist(SHAPES[shape])
    old = {original_name(name): tensor for name, tensor in model.state_dict().items()}
    assert set(old) != set(model.state_dict())
    fresh.load_state_dict(old)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in fresh.state_dict().items())


def test_the_fingerprint_of_the_weights_that_ship_is_what_task_files_hold() -> None:
    assert fingerprint(load_weights("tiny")) == "5f1767d728b5ba67086b41465f5f8e3fdc33ba6e0944c2bf43d0605694a401bd"


def test_fingerprints_differ_where_a_tensor_does() -> None:
    model = network("matching")
    before = fingerprint(model)
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1
    assert fingerprint(model) != before
