"""The precision that is fast where a model learns."""

from dataclasses import replace
from typing import Literal

import pytest
import torch

from mvg.model.generalist import Generalist
from mvg.training.launch import SingleDevice
from mvg.training.precision import precision_on
from tests.model.small import SHAPES, drawn


@pytest.mark.parametrize(
    ("able", "chosen"),
    [({"avx2": True, "avx512_bf16": False}, "32-true"), ({"avx512_bf16": True}, "bf16-mixed"), ({}, "32-true"),
     ({"amx_bf16": True}, "bf16-mixed")],
)  # fmt: skip
def test_a_processor_learns_in_what_it_has(able: dict[str, bool], chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert precision_on("cpu", "auto") == chosen
    assert precision_on("cpu", "bf16-mixed") == "bf16-mixed"
    assert precision_on("cpu", "32-true") == "32-true"


@pytest.mark.parametrize(("able", "chosen"), [(True, "bf16-mixed"), (False, "32-true")])
def test_so_does_a_gpu(able: bool, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: able)
    for device in ("auto", "cuda", "cuda:1"):
        assert precision_on(device, "auto") == chosen
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": not able})
    assert precision_on("cpu", "auto") != chosen


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_pretrained_features_compute_in_the_precision_of_a_run(precision: Literal["bf16-mixed", "32-true"]) -> None:
    network = drawn(Generalist(replace(SHAPES["matching"], pretrained=4)))  # type: ignore[call-arg]
    trunk = network.form.image_encoder.photographs.trunk
    reduced: list[bool] = []
    trunk.stages[0].register_forward_hook(lambda *_: reduced.append(trunk.is_reduced))
    module, *_ = SingleDevice(torch.device("cpu"), precision).setup(network)
    images, targets = torch.rand(1, 2, 1, 32, 32), (torch.rand(1, 2, 1, 32, 32) > 0.5).float()
    output = module(images, targets, torch.ones(1, 2, 4, 4, dtype=torch.bool), "causal", 1)
    output.pictures.float().square().mean().backward()
    assert set(reduced) == {precision == "bf16-mixed"}
    assert all(p.grad is not None for p in network.form.image_encoder.photographs.from_half.parameters())
