"""The shards of a checkpoint: each process writes and reads its own, and the whole weights can be read anywhere."""

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.optim import Optimizer

from mvg.errors import FileError, first_line
from mvg.training.checkpoint_errors import WRITE_ERRORS, unwritable_checkpoint

FOLDER = "checkpoint_shards"
"""Beside the checkpoint, which names the folder in it that counts."""
_STATE = "optimizer."  # begins the names of the optimizer's tensors
_READING = (OSError, RuntimeError, ValueError, KeyError, CheckpointException)


def write_shards(run: Path, step: int, model: nn.Module, average: nn.Module, optimizer: Optimizer) -> str:
    """Each process writes its shard; returns the name of their folder, once all have. Called by all processes."""
    name = f"step-{step}"
    states = {
        f"{_STATE}{key}.{parameter_name}": tensor
        for parameter_name, parameter in model.named_parameters()
        for key, tensor in optimizer.state.get(parameter, {}).items()
    }
    try:
        save({**_weights(model, average), **states}, checkpoint_id=run / FOLDER / name)
    except (*WRITE_ERRORS, CheckpointException) as error:
        raise unwritable_checkpoint(run / FOLDER / name, error) from error
    return name


def remove_other_shards(run: Path, name: str) -> None:
    """Remove the shards of earlier checkpoints, and of those that were never finished."""
    for folder in (run / FOLDER).iterdir():
        if folder.name != name:
            shutil.rmtree(folder, ignore_errors=True)


def read_shards(run: Path, name: str, model: nn.Module, average: nn.Module, optimizer: Optimizer) -> None:
    """Set what `write_shards` wrote, also by another number of processes. Called by all processes."""
    folder = run / FOLDER / name
    parameters = dict(model.named_parameters())
    try:
        written = FileSystemReader(folder).read_metadata().state_dict_metadata
        # Parameters that no loss has reached yet have no state, and get none.
        states: dict[str, dict[str, Tensor]] = {}
        for entry in (entry.removeprefix(_STATE) for entry in written if entry.startswith(_STATE)):
            key, _, parameter_name = entry.partition(".")
            parameter = parameters[parameter_name]
            empty = torch.zeros(()) if key == "step" else torch.zeros_like(parameter)
            states.setdefault(parameter_name, {})[key] = empty
        named = {f"{_STATE}{key}.{name}": tensor for name, state in states.items() for key, tensor in state.items()}
        load({**_weights(model, average), **named}, checkpoint_id=folder)
    except _READING as error:
        raise _unreadable(folder, error) from error
    for parameter_name, state in states.items():
        optimizer.state[parameters[parameter_name]] = state


def read_average(run: Path, name: str, network: nn.Module) -> None:
    """Set the averaged weights of a run in a whole network, in one process alone."""
    state = {f"average.{key}": tensor for key, tensor in network.state_dict().items()}
    try:
        load(state, checkpoint_id=run / FOLDER / name, no_dist=True)
    except _READING as error:
        raise _unreadable(run / FOLDER / name, error) from error


def whole_weights(sharded: nn.Module) -> dict[str, Tensor]:
    """The whole weights of a sharded network, on the CPU. Called by all processes."""
    state: dict[str, Any] = sharded.state_dict()
    return {name: (t.full_tensor() if hasattr(t, "full_tensor") else t).cpu() for name, t in state.items()}


def _weights(model: nn.Module, average: nn.Module) -> dict[str, Tensor]:
    """The tensors themselves, under names; reading into them sets them."""
    parts = (("model", model), ("average", average))
    return {f"{part}.{name}": tensor for part, module in parts for name, tensor in module.state_dict().items()}


def _unreadable(folder: Path, error: BaseException) -> FileError:
    return FileError(
        f"cannot read the shards in '{folder}' ({first_line(error)})",
        "those that the checkpoint beside them names",
        "restore them, or remove the checkpoint to start anew",
    )
