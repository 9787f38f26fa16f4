"""In which precision a device learns fast: processors without bfloat16 multiply it many times as slowly."""

from typing import Literal

import torch

Precision = Literal["auto", "bf16-mixed", "32-true"]
"""Of products and convolutions while a model learns; weights stay in 32 bits. auto: bf16-mixed where it is fast."""
_FAST = ("avx512_bf16", "amx_bf16", "bf16")  # what processors call it


def precision_on(device: str, asked: Precision) -> Literal["bf16-mixed", "32-true"]:
    """What is asked for; for "auto" what is fast on a device ("cpu", "cuda", "cuda:1", "mps", "auto" for the best)."""
    if asked != "auto":
        return asked
    kind = device.partition(":")[0]
    if kind in ("auto", "cuda", "gpu") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    if kind == "mps" or (kind == "auto" and torch.backends.mps.is_available()):
        return "32-true"
    able = torch.cpu.get_capabilities()
    return "bf16-mixed" if any(able.get(name) for name in _FAST) else "32-true"
