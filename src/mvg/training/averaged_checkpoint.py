"""Checkpoints that are small: the averaged weights of a run as bfloat16, in files of a limited size.

A run that goes on from one starts from the averaged weights, with fresh state of its optimizers.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mvg._atomic import atomic_file
from mvg.errors import FileError, first_line
from mvg.training.checkpoint_errors import WRITE_ERRORS, unwritable_checkpoint

PART_BYTES = 14 * 2**20
"""The tensors of one file have at most this many bytes; a larger tensor has a file of its own."""
_PREFIX = "averaged"


def write_averaged(run: Path, step: int, average: nn.Module) -> list[str]:
    """Write the weights in files beside the checkpoint; returns their names."""
    run.mkdir(parents=True, exist_ok=True)
    names = []
    for number, tensors in enumerate(_parts(average.state_dict())):
        names.append(f"{_PREFIX}-{step}-{number}.safetensors")
        path = run / names[-1]
        with atomic_file(path, partial(unwritable_checkpoint, path), WRITE_ERRORS) as temporary:
            save_file(tensors, temporary)
    return names


def _parts(state: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The tensors as bfloat16 on the CPU, in groups of at most `PART_BYTES` where a tensor is not larger itself."""
    part, size = dict[str, Tensor](), 0
    for name, tensor in state.items():
        compact = tensor.detach().to("cpu", torch.bfloat16 if tensor.is_floating_point() else tensor.dtype)
        if part and size + compact.nbytes > PART_BYTES:
            yield part
            part, size = {}, 0
        part[name] = compact.contiguous()
        size += compact.nbytes
    yield part


def remove_other_averaged(run: Path, names: list[str]) -> None:
    """Remove the files of earlier checkpoints, and of those that were never finished."""
    for file in run.glob(f"{_PREFIX}-*.safetensors"):
        if file.name not in names:
            file.unlink(missing_ok=True)


def read_averaged(run: Path, names: list[str]) -> dict[str, Tensor]:
    """The tensors that `write_averaged` wrote. Raises FileError for a file that is missing or damaged."""
    state: dict[str, Tensor] = {}
    for name in names:
        try:
            state |= load_file(run / name)
        except (OSError, SafetensorError) as error:
            raise FileError(
                f"cannot read {run / name} ({first_line(error)})",
                "the files that the checkpoint beside them names",
                "copy all files of the run again",
            ) from error
    return state
