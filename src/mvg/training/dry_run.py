"""`mvg train --dry-run`: whether a run could start, before its first step, and what it would cost."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from mvg.errors import RecipeError
from mvg.training.devices import ACCELERATORS
from mvg.training.episodes import EpisodeData, Episodes
from mvg.training.launch import RunLocation
from mvg.training.precision import precision_on
from mvg.training.recipe import Recipe
from mvg.training.step_cost import StepCost, step_cost
from mvg.training.train import store_of

PEAK_SHARES = (0.3, 0.4, 0.5)
"""Of a device's peak: what training of transformers reaches in practice."""
_GIGA, _TERA = 1e9, 1e12


@dataclass(frozen=True)
class DryRun:
    """What a run would need, and what is there.

    sets, slices: of the store; cost: of a step; world_size: processes; device: its name; memory, disk: bytes that are
    there, and peak: FLOPs per second, 0 where it is not known; steps: of the run, 0 where minutes decide.
    """

    sets: int
    slices: int
    cost: StepCost
    world_size: int
    device: str
    memory: int
    disk: int
    peak: float
    steps: int

    @property
    def disk_bytes(self) -> int:
        """What the run writes at most at once: a new checkpoint beside the old one, and the weights."""
        return 2 * self.cost.checkpoint_bytes + 4 * self.cost.parameters

    def hours(self, share: float) -> float:
        """Hours of the run at this share of the device's peak."""
        return self.steps * self.cost.flops / (share * self.peak) / 3600

    def lines(self) -> Iterator[str]:
        """The plan, a line for each fact."""
        cost = self.cost
        yield f"data: {self.sets} sets, {self.slices} slices; the first batch was made"
        yield f"network: {cost.parameters / 1e6:.1f} million parameters on {self.world_size} devices ({self.device})"
        yield (
            f"memory: {cost.device_bytes / _GIGA:.1f} GB on each device ({cost.state_bytes / _GIGA:.1f} for weights, "
            f"averages and optimizer, the rest for gradients, activations and what libraries keep) of "
            f"{self.memory / _GIGA:.1f} GB"
        )
        yield f"disk: {self.disk_bytes / _GIGA:.1f} GB for two checkpoints and weights of {self.disk / _GIGA:.1f} GB"
        yield f"work: {cost.flops / _TERA:.3g} TFLOP a step on each device"
        if self.steps and self.peak:
            hours = ", ".join(f"{self.hours(share):.0f} at {share:.0%}" for share in PEAK_SHARES)
            yield f"time: {self.steps} steps take hours: {hours} of the peak of {self.peak / _TERA:.0f} TFLOP/s"


def dry_run(recipe: Recipe, location: RunLocation) -> DryRun:
    """Check data, memory and disk of a run, and make its first batch. Raises what `train` raises, and RecipeError
    where memory or disk does not suffice. Nothing is written.
    """
    store = store_of(recipe)
    data = EpisodeData(store, ("train",), recipe.data.tasks, recipe.model.inputs)
    Episodes(data, recipe.episodes, recipe.augmentation, recipe.model.size, recipe.seed)[0]
    device, memory, peak, precision = _device(recipe, location)
    steps = 0 if recipe.schedule.minutes > 0 else recipe.schedule.steps
    plan = DryRun(
        len(store.sets),
        sum(len(stored) for stored in store.sets.values()),
        step_cost(recipe, precision, location.world_size),
        location.world_size,
        device,
        memory,
        _free_disk(location.folder),
        peak,
        steps,
    )
    _check(plan, recipe, location.folder)
    return plan


def _check(plan: DryRun, recipe: Recipe, folder: Path) -> None:
    if plan.cost.device_bytes > plan.memory:
        raise RecipeError(
            f"a step needs {plan.cost.device_bytes / _GIGA:.1f} GB of memory on each device ({plan.device})",
            f"at most {plan.memory / _GIGA:.1f} GB",
            "raise devices.gradient_accumulation, or set devices.activation_checkpointing or devices.sharding",
        )
    if plan.disk_bytes > plan.disk:
        raise RecipeError(
            f"the run needs {plan.disk_bytes / _GIGA:.1f} GB of disk in '{folder}'",
            f"at most {plan.disk / _GIGA:.1f} GB",
            "free space or choose another --output",
        )


def _device(recipe: Recipe, location: RunLocation) -> tuple[str, int, float, Literal["bf16-mixed", "32-true"]]:
    """Name, bytes of memory, peak and precision of the device that the recipe plans for, or that is here."""
    if recipe.devices.accelerator:
        memory, peak = ACCELERATORS[recipe.devices.accelerator]
        return (
            recipe.devices.accelerator,
            int(memory),
            peak,
            "32-true" if recipe.precision == "32-true" else "bf16-mixed",
        )
    precision = precision_on(location.device, recipe.precision)
    if location.device.partition(":")[0] in ("auto", "cuda") and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return properties.name, properties.total_memory, 0.0, precision
    return "cpu", _free_memory() // location.processes, 0.0, precision


def _free_memory() -> int:
    """The bytes of memory that this machine can still give; all of it where the system does not say what is free."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _free_disk(folder: Path) -> int:
    """The free bytes of the disk on which a folder is, or will be."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free
