"""The precision that is fast where a model learns."""

import pytest
import torch

from mvg.training.precision import precision_on


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
