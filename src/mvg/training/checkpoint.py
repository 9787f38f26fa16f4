"""A run's checkpoint: written as a whole, read back, and resumed exactly."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from mvg._atomic import atomic_file
from mvg.errors import FileError, RecipeError, first_line
from mvg.model.config import GeneralistConfig
from mvg.model.generalist import Generalist
from mvg.training.averaged_checkpoint import read_averaged, remove_other_averaged, write_averaged
from mvg.training.checkpoint_errors import WRITE_ERRORS, unwritable_checkpoint
from mvg.training.optimization import Progress
from mvg.training.recipe import Recipe, model_from
from mvg.training.sharded_checkpoint import read_average, read_shards, remove_other_shards, whole_weights, write_shards

CHECKPOINT = "checkpoint.pt"
START_AGAIN = "remove it to start anew"


@dataclass(frozen=True, eq=False)
class TrainState:
    """Everything that training changes. sharded: each process holds a shard of it alone."""

    model: Generalist
    average: AveragedModel
    optimizers: list[Optimizer]
    progress: Progress
    sharded: bool

    @property
    def averaged_model(self) -> Generalist:
        """The model with the averaged weights; of a sharded one, a whole copy on the CPU, made by all processes."""
        assert isinstance(self.average.module, Generalist)
        if not self.sharded:
            return self.average.module
        whole = Generalist(self.model.config)
        whole.load_state_dict(whole_weights(self.average.module))
        return whole.eval()


def save(path: Path, recipe: Recipe, state: TrainState, rank: int) -> None:
    """Write all that a run needs to be resumed, as a whole or not at all. Called by all processes of a run.

    rank: of the process; the first one writes, of a sharded state all do.
    """
    about = {"recipe": _plain(recipe.as_dict()), **vars(state.progress)}
    if state.sharded:
        # The file that names the shards is written once they are complete, and the old ones go after that.
        name = write_shards(path.parent, state.progress.step, state.model, state.average.module, state.optimizers[0])
        if rank == 0:
            _write(path, {"shards": name, "about": about})
            remove_other_shards(path.parent, name)
    elif rank == 0 and recipe.schedule.checkpoint_state == "averaged":
        # As with shards: the old files go once the file that names the new ones is there.
        names = write_averaged(path.parent, state.progress.step, state.averaged_model)
        _write(path, {"averaged": names, "about": about})
        remove_other_averaged(path.parent, names)
    elif rank == 0:
        content = {
            "model": state.model.state_dict(),
            "average": state.averaged_model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in state.optimizers],
            "about": about,
        }
        _write(path, content)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, partial(unwritable_checkpoint, path), WRITE_ERRORS) as temporary:
        torch.save(content, temporary)


def resume(path: Path, recipe: Recipe, state: TrainState, device: torch.device) -> None:
    """Set `state` to what `save` wrote; the settings of the optimizers are the recipe's, which may differ now.

    Raises FileError for a file that `save` did not write, RecipeError for another model or optimizer.
    """
    content = read(path, device, START_AGAIN)
    if model_of(content) != recipe.model:
        raise RecipeError(
            f"{path} was trained with another model", "the model of the recipe", "choose another output folder"
        )
    if state.sharded != ("shards" in content):
        raise RecipeError(
            f"{path} was trained with devices.sharding = '{'none' if state.sharded else 'full'}'",
            "that of the recipe",
            "change the recipe, or choose another output folder",
        )
    groups = [optimizer.param_groups for optimizer in state.optimizers]
    if state.sharded:
        read_shards(path.parent, content["shards"], state.model, state.average.module, state.optimizers[0])
    elif "averaged" in content:
        weights = read_averaged(path.parent, content["averaged"])
        with fitting(path, START_AGAIN):
            state.model.load_state_dict(weights)
            state.averaged_model.load_state_dict(weights)
    else:
        _set_whole(path, content, state)
    for optimizer, before in zip(state.optimizers, groups, strict=True):
        for group, settings in zip(optimizer.param_groups, before, strict=True):
            group.update(settings)
    for name in vars(state.progress).keys() & content["about"].keys():
        setattr(state.progress, name, content["about"][name])
    state.average.n_averaged.fill_(1 + state.progress.step)


def _set_whole(path: Path, content: dict[str, Any], state: TrainState) -> None:
    if len(content.get("optimizers", [])) != len(state.optimizers):
        raise RecipeError(
            f"{path} was trained with another optimizer", "the optimizer of the recipe", "choose another output folder"
        )
    with fitting(path, START_AGAIN):
        state.model.load_state_dict(content["model"])
        state.averaged_model.load_state_dict(content["average"])
        for optimizer, saved in zip(state.optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def averaged(checkpoint: Path) -> tuple[Generalist, dict[str, Any]]:
    """The averaged (EMA) model of a run's checkpoint, and facts about the run: recipe, step, seconds, waited."""
    content = read(checkpoint, torch.device("cpu"), "check the path")
    model = Generalist(model_of(content))
    if "shards" in content:
        read_average(checkpoint.parent, content["shards"], model)
    else:
        named = content.get("averaged")
        weights = content["average"] if named is None else read_averaged(checkpoint.parent, named)
        model.add_parts_of(weights)
        with fitting(checkpoint, "choose another"):
            model.load_state_dict(weights)
    return model.eval(), content["about"]


def model_of(content: dict[str, Any]) -> GeneralistConfig:
    """The network of a checkpoint. Other keys of its recipe are not read: they may be of another version."""
    return model_from(content["about"]["recipe"]["model"])


@contextmanager
def fitting(path: Path, action: str) -> Iterator[None]:
    """Raises FileError where a checkpoint's tensors do not fit."""
    try:
        yield
    except (RuntimeError, ValueError) as problem:
        raise FileError(f"{path} is of another version", "tensors that fit its network", action) from problem


def read(path: Path, device: torch.device, action: str) -> dict[str, Any]:
    """The content that `save` wrote; FileError for anything else."""
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as problem:
        raise FileError(
            f"cannot read {path} ({first_line(problem)})", "a checkpoint of 'mvg train'", action
        ) from problem
    if not isinstance(content, dict) or not any(
        needed <= set(content) for needed in ({"model", "average", "about"}, {"shards", "about"}, {"averaged", "about"})
    ):
        raise FileError(f"{path} is something else", "a checkpoint of 'mvg train'", action)
    return content


def _plain(value: Any) -> Any:
    """Tuples as lists, as a file gives them back."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
