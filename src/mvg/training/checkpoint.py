"""A run's checkpoint: written as a whole, read back, and resumed exactly."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from mvg.training.optimization import Progress
from mvg.training.recipe import Recipe, recipe_from

CHECKPOINT = "checkpoint.pt"
START_AGAIN = "remove it to start anew"


@dataclass(frozen=True, eq=False)
class TrainState:
    """Everything that training changes."""

    model: Generalist
    average: AveragedModel
    optimizers: list[Optimizer]
    progress: Progress

    @property
    def averaged_model(self) -> Generalist:
        """The model with the averaged weights."""
        assert isinstance(self.average.module, Generalist)
        return self.average.module


def save(path: Path, recipe: Recipe, state: TrainState) -> None:
    """Write all that a run needs to be resumed, as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "model": state.model.state_dict(),
        "average": state.averaged_model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in state.optimizers],
        "about": {"recipe": _plain(recipe.as_dict()), **vars(state.progress)},
    }
    with atomic_file(path) as temporary:
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
    if len(content.get("optimizers", [])) != len(state.optimizers):
        raise RecipeError(
            f"{path} was trained with another optimizer", "the optimizer of the recipe", "choose another output folder"
        )
    with fitting(path, START_AGAIN):
        state.model.load_state_dict(content["model"])
        state.averaged_model.load_state_dict(content["average"])
        for optimizer, saved in zip(state.optimizers, content["optimizers"], strict=True):
            groups = optimizer.param_groups
            optimizer.load_state_dict(saved)
            for group, settings in zip(optimizer.param_groups, groups, strict=True):
                group.update(settings)
    for name in vars(state.progress).keys() & content["about"].keys():
        setattr(state.progress, name, content["about"][name])
    state.average.n_averaged.fill_(1 + state.progress.step)


def averaged(checkpoint: Path) -> tuple[Generalist, dict[str, Any]]:
    """The averaged (EMA) model of a run's checkpoint, and facts about the run: recipe, step, seconds, waited."""
    content = read(checkpoint, torch.device("cpu"), "check the path")
    model = Generalist(model_of(content))
    with fitting(checkpoint, "choose another"):
        model.load_state_dict(content["average"])
    return model.eval(), content["about"]


def model_of(content: dict[str, Any]) -> GeneralistConfig:
    """The network of a checkpoint. Other keys of its recipe are not read: they may be of another version."""
    return recipe_from({"model": content["about"]["recipe"]["model"]}).model


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
    if not isinstance(content, dict) or not {"model", "average", "about"} <= set(content):
        raise FileError(f"{path} is something else", "a checkpoint of 'mvg train'", action)
    return content


def _plain(value: Any) -> Any:
    """Tuples as lists, as a file gives them back."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
