"""Activation checkpointing: blocks keep their input alone, and compute the rest again in the backward pass."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(forward: Callable[..., Tensor], recompute: bool, *inputs: object) -> Tensor:
    """`forward(*inputs)`, which is computed again in the backward pass if `recompute` and gradients are recorded.

    Random numbers are drawn again from the same state, so results and gradients are the same.
    """
    if recompute and torch.is_grad_enabled():
        out: Tensor = checkpoint(forward, *inputs, use_reentrant=False)
        return out
    return forward(*inputs)


def recompute_blocks(network: nn.Module) -> None:
    """Let every block of a network compute its activations again in the backward pass."""
    blocks: list[Any] = [module for module in network.modules() if hasattr(module, "recompute")]
    for block in blocks:
        block.recompute = True
