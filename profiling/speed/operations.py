"""How fast this processor runs the operations that the model is built from: the reason for its form and precision."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
_ROUNDS = 8


def operations(seed: int) -> dict[str, Any]:
    """GFLOP per second, forward and backward, for the shapes of `tiny`, in both precisions.

    product: a linear layer; convolution: 3 x 3 at a quarter of 128 pixels; attention: 3 heads over 256 tokens, with
    PyTorch's fast kernel and with plain products.
    """
    torch.manual_seed(seed)
    return {"gflops": {name: _rates(dtype) for name, dtype in _PRECISIONS.items()}}


def _rates(dtype: torch.dtype) -> dict[str, float]:
    x, weight = (torch.randn(1024, 256, dtype=dtype, requires_grad=True) for _ in range(2))
    maps = torch.randn(16, 64, 32, 32, dtype=dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    kernel = torch.randn(64, 64, 3, 3, dtype=dtype, requires_grad=True)
    heads = [torch.randn(16, 3, 256, 64, dtype=dtype, requires_grad=True) for _ in range(3)]
    attention_flop = 2 * 16 * 3 * 256 * 256 * 2 * 64
    return {
        "product": rate(partial(F.linear, x, weight), 2 * 1024 * 256 * 1024),
        "convolution": rate(partial(F.conv2d, maps, kernel, padding=1), 2 * 16 * 32 * 32 * 64 * 64 * 9),
        "attention, fast kernel": rate(partial(F.scaled_dot_product_attention, *heads), attention_flop),
        "attention, plain products": rate(partial(_plain_attention, *heads), attention_flop),
    }


def _plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1) @ v


def rate(operation: Callable[[], Tensor], flop: float) -> float:
    """GFLOP per second in the fastest of some rounds; `flop` is the forward pass, and backward counts twice."""
    fastest = float("inf")
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        out = operation()
        out.backward(out.detach())  # type: ignore[no-untyped-call]
        fastest = min(fastest, time.perf_counter() - start)
    return round(3 * flop / fastest / 1e9, 1)
