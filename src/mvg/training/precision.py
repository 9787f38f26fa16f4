"""The precision in which a device trains fast: processors without bfloat16 are many times slower in it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch import nn

Precision = Literal["auto", "bf16-mixed", "32-true"]
"""Of products and convolutions in training; weights stay in 32 bits. auto: bf16-mixed where the device has it."""
_FAST = ("avx512_bf16", "amx_bf16", "bf16")  # as processors name it


def precision_on(device: str, precision: Precision) -> Literal["bf16-mixed", "32-true"]:
    """The precision to use; "auto" becomes the fast one of a device.

    device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the best.
    """
    if precision != "auto":
        return precision
    kind = device.partition(":")[0]
    if kind in ("auto", "cuda", "gpu") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    if kind == "mps" or (kind == "auto" and torch.backends.mps.is_available()):
        return "32-true"
    capabilities = torch.cpu.get_capabilities()
    return "bf16-mixed" if any(capabilities.get(name) for name in _FAST) else "32-true"


class InPrecision(nn.Module):
    """A network that computes in the precision of its run."""

    def __init__(self, network: nn.Module, autocast: Callable[[], AbstractContextManager[Any]]) -> None:
        """autocast: makes a context in which products and convolutions are in that precision."""
        super().__init__()
        self.network, self.autocast = network, autocast

    def forward(self, *inputs: Any) -> Any:
        """The network's output."""
        with self.autocast():
            return self.network(*inputs)
