"""`mvg train`: a recipe from a file, a run in a folder, and the weights that it results in."""

import json
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from mvg.app.display import OnProgress
from mvg.errors import FileError, RecipeError
from mvg.model.config import GeneralistConfig
from mvg.model.weights import save_weights
from mvg.training.checkpoint import CHECKPOINT, averaged
from mvg.training.dry_run import dry_run
from mvg.training.launch import RunLocation
from mvg.training.optimization import Progress, StepResult
from mvg.training.recipe import Recipe, read_recipe
from mvg.training.train import store_of, train, with_model
from mvg.training.validation import ValidationSettings, validation

_CARD = """# {name}

Trained by `mvg train`; {step} steps in {minutes:.0f} minutes.

- Data: prepared sets in `{store}`{sets}. Whoever passes these weights on adds the terms of the data.
- Form and size: {form}, pictures of {size} pixels, patches of {patch}.
- Limits: not evaluated beyond the run's own validation, see its curves. Research use; not a medical device.

Recipe:

```json
{recipe}
```
"""


@dataclass(frozen=True)
class RunRequest:
    """Where a recipe is run.

    device, processes, nodes: as in `RunLocation`; output: the run's folder, None for runs/NAME; resume: whether a run
    in that folder is continued; else it is an error.
    """

    device: str
    processes: int
    nodes: int
    output: Path | None
    resume: bool


def run_recipe(path: Path, minutes: float | None, request: RunRequest, show: OnProgress) -> Path:
    """Train as the recipe in `path` says and write the averaged model's weights; returns their folder.

    minutes: wall time, None for what the recipe says. Raises what `read_recipe` and `train` raise, and FileError for a
    folder that holds a run.
    """
    recipe = _with_minutes(read_recipe(path), minutes)
    location = _location(recipe, request)
    folder = location.folder
    if (folder / CHECKPOINT).exists() and not request.resume:
        raise FileError(
            f"'{folder}' holds a run", "a new folder, or --resume", "add --resume or choose another --output"
        )
    total = _total(recipe)

    def on_step(progress: Progress, result: StepResult, share: float) -> None:
        show("training", min(total, round(share * total)), total)

    validate = validation(store_of(recipe), ValidationSettings(recipe.data.tasks, recipe.episodes.coloring))
    checkpoint = train(recipe, location, validate, on_step)
    return weights_of_run(checkpoint.parent, folder / "weights")


def weights_of_run(run: Path, output: Path) -> Path:
    """Write the averaged weights of a run's last checkpoint as weights, with a card; returns their folder.

    Raises FileError for a run without a readable checkpoint, WeightsError where `output` cannot be written.
    """
    model, about = averaged(run / CHECKPOINT)
    return save_weights(model, output, _card(model.config, about)).folder


def plan_lines(path: Path, minutes: float | None, request: RunRequest) -> tuple[str, ...]:
    """What the run of a recipe would need, a line for each fact. Raises what `dry_run` raises; nothing is written."""
    recipe = _with_minutes(read_recipe(path), minutes)
    return tuple(dry_run(with_model(recipe, _location(recipe, request).folder), _location(recipe, request)).lines())


def _location(recipe: Recipe, request: RunRequest) -> RunLocation:
    folder = request.output or Path("runs") / recipe.name
    return RunLocation(folder, request.device, request.processes, request.nodes)


def _with_minutes(recipe: Recipe, minutes: float | None) -> Recipe:
    """The recipe with another wall time, where one is given."""
    if minutes is None:
        return recipe
    if not 0 < minutes < inf:
        raise RecipeError(f"--minutes {minutes:g}", "more than 0", "leave it out to train as the recipe says")
    return replace(recipe, schedule=replace(recipe.schedule, minutes=minutes))


def _total(recipe: Recipe) -> int:
    """Units of the progress bar: seconds of a run that goes by time, else steps."""
    return max(1, round(60 * recipe.schedule.minutes) if recipe.schedule.minutes > 0 else recipe.schedule.steps)


def _card(model: GeneralistConfig, about: dict[str, Any]) -> str:
    recipe = about["recipe"]
    return _CARD.format(
        name=recipe["name"],
        step=about["step"],
        minutes=about["seconds"] / 60,
        store=recipe["data"]["store"],
        sets=f" ({', '.join(recipe['data']['sets'])})" if recipe["data"]["sets"] else "",
        form=model.form,
        size=model.size,
        patch=model.patch,
        recipe=json.dumps(recipe, indent=2),
    )
