"""Layers in 16 bits: near the 32-bit output, never where gradients are recorded, and never with old weights."""

import copy

import pytest
import torch
from torch import nn

from mvg.model import layers
from mvg.model.device import prefers_bfloat16
from mvg.model.layers import Activation, Conv2d, Linear, reduce_precision

LAYERS = {"linear": (Linear(24, 16), (5, 24)), "convolution": (Conv2d(8, 16, 3, padding=1), (2, 8, 12, 12))}


@pytest.mark.parametrize("name", LAYERS)
@torch.inference_mode()
def test_output_is_float32_and_near_that_of_32_bits(name: str) -> None:
    layer, shape = LAYERS[name]
    x, reduced = torch.randn(shape), copy.deepcopy(layer)
    reduce_precision(nn.Sequential(reduced))
    exact, output = layer(x), reduced(x)
    assert output.dtype == torch.float32
    assert 0 < (output - exact).abs().max() < 0.02 * exact.abs().max()


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_need_32_bits(name: str) -> None:
    layer, shape = LAYERS[name]
    x, reduced = torch.randn(shape), copy.deepcopy(layer)
    reduce_precision(reduced)
    assert torch.equal(reduced(x), layer(x))


@torch.no_grad()
def test_changed_weights_are_copied_again() -> None:
    layer = Linear(4, 4)
    reduce_precision(layer)
    x = torch.ones(1, 4)
    before = layer(x)
    layer.weight.add_(1)
    assert torch.allclose(layer(x), before + 4, atol=0.05)
    layer.load_state_dict({"weight": torch.zeros(4, 4), "bias": torch.ones(4)})
    assert torch.equal(layer(x), torch.ones(1, 4))


@pytest.mark.parametrize("fuses", [True, False])
@pytest.mark.parametrize("activation", ["gelu", "relu6"])
@pytest.mark.parametrize("groups", [1, 8])
@torch.inference_mode()
def test_activated_convolution_is_the_activation_of_the_convolution(
    fuses: bool, activation: Activation, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, function = Conv2d(8, 8, 3, stride=2, padding=1, groups=groups), getattr(nn.functional, activation)
    x = 3 * torch.randn(2, 8, 12, 12).contiguous(memory_format=torch.channels_last)
    exact = function(layer(x))
    if not fuses:
        monkeypatch.setattr(layers, "_fuses", lambda _kind: False)
    output = layer.activated(x, activation)
    assert output.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(output, exact, rtol=1e-5, atol=1e-6)
    reduce_precision(layer)
    output = layer.activated(x, activation)
    assert output.dtype == torch.bfloat16
    assert output.is_contiguous(memory_format=torch.channels_last)
    assert 0 < (output - exact).abs().max() < 0.03 * exact.abs().max()


def test_a_version_without_fused_convolutions_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*arguments: object) -> None:
        raise AttributeError("no such operation")

    monkeypatch.setattr(layers, "_fused", lacking)
    assert not layers._fuses.__wrapped__(torch.bfloat16)


def test_convolutions_are_fused_for_their_values_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds, fused = list[torch.dtype](), layers._fused

    def counted(x: torch.Tensor, *arguments: object) -> object:
        kinds.append(x.dtype)
        return fused(x, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(layers, "_fuses", lambda _kind: True)
    monkeypatch.setattr(layers, "_fused", counted)
    layer, x = Conv2d(8, 8, 3, padding=1), torch.randn(2, 8, 12, 12)
    layer.activated(x, "gelu").sum().backward()
    assert layer.weight.grad is not None
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            assert layer.activated(x, "gelu").dtype == torch.bfloat16
        assert kinds == []
        layer.activated(x, "gelu")
    assert kinds == [torch.float32]


@torch.inference_mode()
def test_state_has_the_names_of_plain_layers() -> None:
    layer = Linear(4, 4)
    reduce_precision(layer)
    with torch.no_grad():
        layer(torch.ones(1, 4))
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_only_processors_with_16_bit_products_prefer_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for probe in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda: False, raising=False)
    assert not prefers_bfloat16(torch.device("cpu"))
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert prefers_bfloat16(torch.device("cpu"))
    assert not prefers_bfloat16(torch.device("cuda"))
