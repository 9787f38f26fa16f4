"""What this processor makes of the operations that the model is built from: the reason for its form and precision."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def operations(seed: int) -> dict[str, Any]:
    """GFLOP per second, forward and backward, of `tiny`'s own shapes, in both precisions.

    product: a linear layer; convolution: 3 x 3 at a quarter of 128 pixels; attention: 3 heads over 256 tokens, by
    PyTorch's fast kernel and by plain products.
    """
    torch.manual_seed(seed)
    found: dict[str, dict[str, float]] = {}
    for name, kind in _KINDS.items():
        x = torch.randn(1024, 256, dtype=kind, requires_grad=True)
        weight = torch.randn(1024, 256, dtype=kind, requires_grad=True)
        maps = torch.randn(16, 64, 32, 32, dtype=kind).contiguous(memory_format=torch.channels_last).requires_grad_()
        kernel = torch.randn(64, 64, 3, 3, dtype=kind, requires_grad=True)
        heads = [torch.randn(16, 3, 256, 64, dtype=kind, requires_grad=True) for _ in range(3)]
        attended = 2 * 16 * 3 * 256 * 256 * 2 * 64
        found[name] = {
            "product": _rate(partial(F.linear, x, weight), 2 * 1024 * 256 * 1024),
            "convolution": _rate(partial(F.conv2d, maps, kernel, padding=1), 2 * 16 * 32 * 32 * 64 * 64 * 9),
            "attention, fast kernel": _rate(partial(F.scaled_dot_product_attention, *heads), attended),
            "attention, plain products": _rate(partial(_plain, *heads), attended),
        }
    return {"gflops": found}


def _plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1) @ v


def _rate(operation: Callable[[], Tensor], flop: float) -> float:
    """GFLOP per second of the best of some rounds; backward counts twice."""
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        out = operation()
        out.backward(out.detach())  # type: ignore[no-untyped-call]
        best = min(best, time.perf_counter() - start)
    return round(3 * flop / best / 1e9, 1)
