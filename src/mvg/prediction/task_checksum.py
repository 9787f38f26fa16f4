"""The checksum of a task file: a damaged one must not predict something else."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def checksum(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """The sha256 of a description without its checksum, and of all tensors."""
    text = json.dumps({key: value for key, value in description.items() if key != "checksum"}, sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_dense(tensor).reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    """A copy with plain strides; `contiguous` keeps those of dimensions of one element as they are."""
    return tensor.clone(memory_format=torch.contiguous_format)
