"""Starts a run on its devices: one process, or several that train together (Lightning Fabric)."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch

from mvg.errors import RecipeError
from mvg.model.device import device_named


@dataclass(frozen=True)
class RunLocation:
    """Where a run happens.

    folder: its checkpoint and curves; device: "cpu", "cuda", "cuda:1" or "auto"; processes: how many devices.
    """

    folder: Path
    device: str = "auto"
    processes: int = 1


def launch(precision: Literal["bf16-mixed", "32-true"], location: RunLocation) -> Any:
    """Fabric on the devices of a run, in this precision; with several processes, each of them returns from here.

    Raises RecipeError for more processes than devices and for missing packages, UnknownNameError for a device.
    """
    device = device_named(location.device)
    available = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device.type, location.processes)
    limit = available if device.index is None else 1
    if location.processes > limit:
        raise RecipeError(
            f"{location.processes} processes on '{location.device}'", f"at most {limit}", "use fewer processes"
        )
    _check_packages()
    from lightning_fabric import Fabric

    fabric = Fabric(
        accelerator=device.type,
        devices=location.processes if device.index is None else [device.index],
        precision=precision,
        strategy="ddp_find_unused_parameters_true" if location.processes > 1 else "auto",
    )
    fabric.launch()
    if location.processes > 1 and fabric.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // location.processes))
    return fabric


def _check_packages() -> None:
    for package in ("lightning_fabric", "tensorboard"):
        if find_spec(package) is None:
            raise RecipeError(
                f"no package '{package}'", "the packages of training", "run pip install '.[train]' in mvg's source"
            )
