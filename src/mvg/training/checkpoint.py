"""A run's checkpoint: written whole, read back, and gone on from exactly."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from mvg._atomic import atomic_file
from mvg.errors import FileError, RecipeError
from mvg.model.generalist import Generalist, GeneralistConfig
from mvg.training.curves import Progress
from mvg.training.recipe import Recipe, recipe_from

CHECKPOINT = "checkpoint.pt"
ANEW = "remove it to start anew"


def save(
    fabric: Any, path: Path, recipe: Recipe, model: Generalist, average: Generalist, optimizers: list[Any],
    progress: Progress,
) -> None:  # fmt: skip
    """Write all that a run needs to go on, whole or not at all; the first process alone writes."""
    if not fabric.is_global_zero:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "recipe": _plain(recipe.as_dict()),
        "step": progress.step,
        "seconds": progress.seconds,
        "waited": progress.waited,
    }
    state = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "about": about,
    }
    with atomic_file(path) as temporary:
        torch.save(state, temporary)


def resume(
    fabric: Any, path: Path, recipe: Recipe, model: Generalist, average: Generalist, optimizers: list[Any],
    progress: Progress,
) -> None:  # fmt: skip
    """Go on from where `save` was called, with the recipe's settings, which may be others now.

    Raises FileError for what `save` has not written, and RecipeError for another model or optimizer.
    """
    state = read(path, fabric.device, ANEW)
    if model_of(state) != recipe.model:
        raise RecipeError(f"{path} is of another model", "the model of the recipe", "choose another --output")
    if len(state.get("optimizers", [])) != len(optimizers):
        raise RecipeError(
            f"{path} was learnt with another optimizer", "the optimizer of the recipe", "choose another --output"
        )
    with fitting(path, ANEW):
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for optimizer, own in zip(optimizers, state["optimizers"], strict=True):
            groups = optimizer.param_groups
            optimizer.load_state_dict(own)
            for group, asked in zip(optimizer.param_groups, groups, strict=True):
                group.update(asked)  # settings are the recipe's, not the checkpoint's
    progress.step, progress.seconds = state["about"]["step"], state["about"]["seconds"]
    progress.waited = state["about"]["waited"]


def model_of(state: dict[str, Any]) -> GeneralistConfig:
    """A checkpoint's network; of its recipe no more, since checkpoints outlive the recipes' other keys."""
    return recipe_from({"model": state["about"]["recipe"]["model"]}).model


@contextmanager
def fitting(path: Path, action: str) -> Iterator[None]:
    """Raises FileError where a checkpoint's tensors do not fit."""
    try:
        yield
    except (RuntimeError, ValueError) as problem:
        raise FileError(f"{path} is of another version", "tensors that fit its network", action) from problem


def read(path: Path, device: torch.device, action: str) -> dict[str, Any]:
    """What `save` wrote; raises FileError for anything else."""
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as problem:
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise FileError(f"cannot read {path} ({reason})", "a checkpoint of 'mvg train'", action) from problem
    if not isinstance(state, dict) or not {"model", "average", "about"} <= set(state):
        raise FileError(f"{path} is something else", "a checkpoint of 'mvg train'", action)
    return state


def _plain(value: Any) -> Any:
    """Tuples as lists, as a file gives them back."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
