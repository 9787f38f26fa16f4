"""A small prepared store, recipes that train a very small network on it, and their runs."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import mvg
from mvg.data import Store, prepare
from mvg.data.case import split_of
from mvg.model.generalist import Generalist
from mvg.training.launch import RunLocation
from mvg.training.optimization import Progress, StepResult
from mvg.training.recipe import Recipe, recipe_from
from mvg.training.train import train
from tests.data.folders import make_ct, make_mri

TRAIN = [name for name in (f"p{i}" for i in range(40)) if split_of(name) == "train"][:6]
VAL = [name for name in (f"p{i}" for i in range(40)) if split_of(name) == "val"][:2]

MODEL = {
    "size": 32, "patch": 8, "width": 32, "depth": 2, "heads": 2, "fine": 8, "levels": [1, 2],
    "target_width": 32, "target_depth": 1, "decoder_width": 32, "decoder_depth": 1, "merge_after": 1,
}  # fmt: skip

Make = Callable[..., Recipe]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two sets: `mri` with two contrasts and two organs (6 patients to train, 2 to validate), and `ct` in HU."""
    folder = tmp_path_factory.mktemp("store")
    make_mri(folder / "raw/mri", dict.fromkeys([*TRAIN, *VAL], (24, 20, 5)), channels=2)
    make_ct(folder / "raw/ct", cases=6, side=40)
    prepare([folder / "raw/mri", folder / "raw/ct"], folder / "prepared")
    return Store.open(folder / "prepared")


@pytest.fixture
def make_recipe(store: Store) -> Make:
    """recipe(section={key: value}, ...): a very small run on `store`, changed by these sections."""

    def make(form: str = "matching", **changes: Any) -> Recipe:
        table: dict[str, Any] = {
            "seed": 3,
            "precision": "32-true",
            "model": {"form": form, **MODEL},
            "data": {"store": str(store.folder), "workers": 0},
            "episodes": {"batch": 2, "panels": [2, 3]},
            "schedule": {"steps": 6, "log_steps": 1},
        }
        for section, values in changes.items():
            table[section] = {**table.get(section, {}), **values} if isinstance(values, dict) else values
        return recipe_from(table)

    return make


def clean_environment() -> dict[str, str]:
    """The environment of a process that a test starts: one thread, this source, no warnings."""
    source = str(Path(mvg.__file__).parents[1])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": source, "PYTHONWARNINGS": "ignore"}


class Killed(BaseException):
    """What stands for a lost machine."""


def run(
    recipe: Recipe,
    folder: Path,
    kill_after: int | None = None,
    validate: Callable[[Generalist, Path, int], dict[str, float]] | None = None,
) -> list[float]:
    """The losses of a run; it dies right after step `kill_after`."""
    losses: list[float] = []

    def on_step(progress: Progress, result: StepResult, share: float) -> None:
        losses.append(result.loss)
        if progress.step == kill_after:
            raise Killed

    with suppress(Killed):
        train(recipe, RunLocation(folder, "cpu"), validate, on_step)
    return losses
