"""Starts a run on its devices: one process by itself, or several that train together (Lightning Fabric)."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed import is_torchelastic_launched
from torch.optim import Optimizer

from mvg.errors import ProcessError, RecipeError, first_line
from mvg.model.device import device_named
from mvg.model.layers import reduce_precision
from mvg.training.precision import InPrecision

_SOURCE = re.compile(r"^\[[^\]]*\] ?")  # the line of a library's source, in its messages
_LOST = ("Connection closed by peer", "Connection reset by peer", "gloo/transport", "NCCL", "Broken pipe")


@dataclass(frozen=True)
class RunLocation:
    """Where a run happens.

    folder: its checkpoint and curves, which all nodes share; device: "cpu", "cuda", "cuda:1" or "auto"; processes: how
    many devices of each node; nodes: how many machines, on each of which torchrun (or SLURM) starts the run; deadline:
    a time of `time.monotonic` after which no step begins: the run writes its checkpoint and can be resumed.
    """

    folder: Path
    device: str = "auto"
    processes: int = 1
    nodes: int = 1
    deadline: float = inf

    @property
    def world_size(self) -> int:
        """The processes of all nodes."""
        return self.processes * self.nodes


@dataclass(frozen=True)
class SingleDevice:
    """What a run in one process uses of Fabric's interface, by PyTorch alone. precision: as in `precision_on`."""

    device: torch.device
    precision: Literal["bf16-mixed", "32-true"]
    is_global_zero: bool = True
    global_rank: int = 0
    world_size: int = 1

    def autocast(self) -> AbstractContextManager[Any]:
        """Within it, products and convolutions are in the precision of the run."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed")

    def setup(self, network: nn.Module, *optimizers: Optimizer) -> tuple[nn.Module, *tuple[Optimizer, ...]]:
        """The network on the device, in the precision of the run, and its optimizers as they are.

        Layers that record no gradients, those of pretrained features, compute as they do in prediction.
        """
        if self.precision == "bf16-mixed":
            reduce_precision(network)
        return InPrecision(network.to(self.device), self.autocast), *optimizers

    def backward(self, loss: Tensor) -> None:
        """The backward pass of a loss."""
        loss.backward()  # type: ignore[no-untyped-call]

    def broadcast(self, value: Any) -> Any:
        """The first process's value: there is no other."""
        return value


def launch(precision: Literal["bf16-mixed", "32-true"], location: RunLocation) -> Any:
    """The devices of a run, in this precision: Fabric for several processes, each of which returns from here.

    Raises RecipeError for more processes than devices, for missing packages, and where torchrun started another number
    of processes, UnknownNameError for a device.
    """
    device = device_named(location.device)
    available = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device.type, location.processes)
    limit = available if device.index is None else 1
    if location.processes > limit:
        raise RecipeError(
            f"{location.processes} processes on '{location.device}'", f"at most {limit}", "use fewer processes"
        )
    _check_packages(["tensorboard"] if location.world_size == 1 else ["lightning_fabric", "tensorboard"])
    _check_launcher(location)
    if location.world_size == 1:
        return SingleDevice(device, precision)
    from lightning_fabric import Fabric

    fabric = Fabric(
        accelerator=device.type,
        devices=location.processes if device.index is None else [device.index],
        num_nodes=location.nodes,
        precision=precision,
        strategy="ddp_find_unused_parameters_true",
    )
    fabric.launch()
    if location.processes > 1 and fabric.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // location.processes))
    return fabric


def _check_launcher(location: RunLocation) -> None:
    wanted = f"--processes {location.processes} --nodes {location.nodes}"
    if is_torchelastic_launched():
        local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        if (local, world) != (location.processes, location.world_size):
            raise RecipeError(
                f"torchrun started {local} processes here and {world} in all",
                f"{location.processes} and {location.world_size}, for {wanted}",
                "give both programs the same numbers",
            )
    elif location.nodes > 1 and "SLURM_NTASKS" not in os.environ:
        raise RecipeError(
            f"--nodes {location.nodes} without torchrun",
            "a launcher that starts the run on every node",
            f"run 'torchrun --nnodes {location.nodes} --nproc-per-node {location.processes} ... -m mvg.app.cli train'",
        )


@contextmanager
def lost_processes_as_errors(location: RunLocation) -> Iterator[None]:
    """Raises ProcessError where a collective operation fails because another process of the run has ended."""
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, torch.distributed.DistError) or any(word in str(error) for word in _LOST)
        if location.world_size == 1 or not lost:
            raise
        raise ProcessError(
            f"another process of the run has ended ({_SOURCE.sub('', first_line(error))[:60]})",
            f"all {location.world_size} processes until the last step",
            "look at what it printed, then start all of them again with --resume; the run goes on from its checkpoint",
        ) from error


def _check_packages(packages: Sequence[str]) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise RecipeError(
                f"no package '{package}'", "the packages of training", "run pip install '.[train]' in mvg's source"
            )
