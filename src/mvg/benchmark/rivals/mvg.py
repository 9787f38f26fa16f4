"""Our model: shipped weights as they are, or a model that is trained here by a recipe, within the equal budget."""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mvg.benchmark.protocol.method import Budget, Request, Scope, TrainingData
from mvg.benchmark.rivals._training import CLOCKS, TrainingClock
from mvg.errors import FileError
from mvg.imaging.volume import LabelMap, Volume
from mvg.model.weights import describe_weights, save_weights, verify_weights
from mvg.prediction.finetuning import tune
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor, load
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.quality import quality_of
from mvg.prediction.result import Prediction
from mvg.tasks import Task
from mvg.training.checkpoint import averaged
from mvg.training.launch import RunLocation
from mvg.training.recipe import Recipe, recipe_from
from mvg.training.task_sources import predefined_colors, task_sources
from mvg.training.train import store_of, train

SCOPE: Scope = "generalist"
USES_PROMPTS = True
# Of `PredictionOptions`.
_OVERRIDES = ("strategy", "members", "zoom", "through_plane", "registration", "propagate", "min_probability")


@dataclass(frozen=True)
class Options:
    """weights: an id or folder, used as it is; without, a model is trained.

    recipe: a TOML file ("": the defaults); changes: keys that replace the recipe's, table by table. pretraining:
    fraction of the budget that goes to hidden image patches first; the encoder is kept. budget_fraction: of the suite's
    budget, for curves of quality against time. tune: seconds of tuning on the prompts of every request; clock:
    what counts them. slices: prompt slices per query slice (0: as many as there are prompt cases). The rest: as in
    `PredictionOptions`, whose defaults hold where an option is None.
    """

    weights: str = ""
    recipe: str = ""
    changes: dict[str, Any] = field(default_factory=dict, hash=False)
    pretraining: float = 0.0
    budget_fraction: float = 1.0
    strategy: str | None = None
    members: int | None = None
    zoom: Literal["auto", "off"] | None = None
    through_plane: Literal["auto", "off"] | None = None
    registration: Literal["auto", "off"] | None = None
    propagate: float | None = None
    min_probability: float | None = None
    tune: float = 0.0
    clock: TrainingClock = "wall"
    slices: int = 0
    precision: Literal["auto", "float32"] = "auto"


def serves(task: Task) -> bool:
    """Every task."""
    return True


def inputs(options: Options) -> int:
    """The number of images that the model takes."""
    if options.weights:
        return describe_weights(options.weights).config.inputs
    recipe = merged(_recipe_table(options), options.changes)
    return int(recipe.get("model", {}).get("inputs", 1))


def check(options: Options) -> None:
    """Raise an error if the weights are missing or damaged, or the recipe cannot be read."""
    if options.weights:
        verify_weights(options.weights)
    else:
        _recipe_table(options)


def fit(options: Options, data: TrainingData) -> "PromptedMethod":
    """Load the weights, or train by the recipe for the budget."""
    if options.weights:
        return PromptedMethod(load(options.weights, data.device, options.precision), options)
    recipe = recipe_for(options, data)
    data = replace(data, budget=data.budget.fraction(options.budget_fraction))
    if options.pretraining > 0:
        recipe = replace(recipe, initialize=str(_pretrained(options, data)))
        data = replace(data, budget=data.budget.fraction(1 - options.pretraining))
    recipe = with_budget(recipe, data.budget)
    _write_recipe(recipe, data.folder)
    checkpoint = train(recipe, RunLocation(data.folder, data.device))
    model, content = averaged(checkpoint)
    predictor = Predictor(model.to(data.device), str(data.folder))
    return PromptedMethod(predictor, options, content["step"], _colors(recipe))


Colors = Callable[[str, tuple[int, ...]], tuple[float, ...]]
"""(name of a set, label values) -> their colors; empty for colors that are as different as possible."""


def _colors(recipe: Recipe) -> Colors:
    """The colors of training; sets that were not in training have no predefined ones."""
    if recipe.episodes.coloring == "binary":
        return lambda name, values: (1.0,) * len(values)
    if recipe.episodes.coloring == "random":
        return lambda name, values: ()
    sources = task_sources(store_of(recipe), ("train",), recipe.data.tasks)
    return lambda name, values: predefined_colors(sources, name, values) if name in recipe.data.sets else ()


def recipe_for(options: Options, data: TrainingData) -> Recipe:
    """The recipe with the suite's changes, for the store, the sets and the kinds of tasks of `data`."""
    data_table = {
        "store": str(data.store.folder),
        "sets": sorted({task.card.name for task in data.tasks}),
        "tasks": sorted({task.kind for task in data.tasks}),
        "workers": 0,
    }
    fixed = {"seed": data.seed, "precision": data.precision, "data": data_table}
    return recipe_from(merged(merged(_recipe_table(options), options.changes), fixed))


def _recipe_table(options: Options) -> dict[str, Any]:
    """The content of the recipe's file; its path is relative to the working directory."""
    try:
        return tomllib.loads(Path(options.recipe).read_text(encoding="utf-8")) if options.recipe else {}
    except (OSError, ValueError) as error:
        raise FileError(
            f"cannot read {options.recipe} ({error})",
            "a recipe (TOML)",
            "correct the suite, or start in the folder of the recipe",
        ) from error


def merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A nested table with values replaced by those of another; shares of objectives are replaced as a whole."""
    out = dict(table)
    for key, value in changes.items():
        inner = isinstance(value, Mapping) and isinstance(out.get(key), Mapping) and key not in ("labels", "image")
        out[key] = merged(out[key], value) if inner else value
    return out


def with_budget(recipe: Recipe, budget: Budget) -> Recipe:
    """The recipe with this budget; an episode of n panels counts as n - 1 samples."""
    if budget.minutes > 0:
        return replace(recipe, schedule=replace(recipe.schedule, minutes=budget.minutes))
    panels = sum(recipe.episodes.panels) / 2 - 1
    steps = max(1, round(budget.samples / (recipe.episodes.batch * max(panels, 1))))
    return replace(recipe, schedule=replace(recipe.schedule, minutes=0.0, steps=steps))


class PromptedMethod:
    """A predictor as a method; the last prompted tasks are cached."""

    def __init__(
        self, predictor: Predictor, options: Options, steps: int = 0, colors: Colors = lambda name, values: ()
    ) -> None:
        self.predictor, self.options, self.steps, self.colors = predictor, options, steps, colors
        self._cache: dict[tuple[str, ...], PromptedTask] = {}
        self._last: Prediction | None = None

    def __call__(self, request: Request) -> Volume | LabelMap:
        """The prediction from the request's prompts."""
        self._last = self.prompted(request)(request.query)
        return self._last.volume

    def prompted(self, request: Request) -> PromptedTask:
        """The task as the request's prompts show it."""
        prompts = sorted(request.prompts, key=lambda prompt: prompt.case)
        key = (request.task.card.name, request.task.name, *(prompt.case for prompt in prompts))
        if key not in self._cache:
            if len(self._cache) >= 2:  # requests alternate between one prompt and all
                self._cache.pop(next(iter(self._cache)))
            prompted = self.predictor.prompt(
                [prompt.image for prompt in prompts],
                [prompt.target for prompt in prompts],
                request.task.name,
                self._prediction_options(len(prompts)),
                modality=request.modality,
            )
            colors = self.colors(request.task.card.name, prompted.prompts.values)
            self._cache[key] = prompted.with_options(replace(prompted.options, colors=colors))
            if self.options.tune > 0:
                self._cache[key], _ = tune(self._cache[key], self.options.tune, clock=CLOCKS[self.options.clock])
        return self._cache[key]

    def _prediction_options(self, prompts: int) -> PredictionOptions:
        overrides = {name: getattr(self.options, name) for name in _OVERRIDES}
        given = {name: value for name, value in overrides.items() if value is not None}
        return PredictionOptions(num_prompts=self.options.slices or prompts, **given)

    def estimate(self, request: Request, prediction: Volume | LabelMap) -> float | None:
        """The quality estimate of the last prediction; None for pictures."""
        assert self._last is not None
        assert self._last.volume is prediction, "only the last prediction has an estimate"
        estimate = quality_of(self._last)
        return None if estimate is None else estimate.mean


def _pretrained(options: Options, data: TrainingData) -> Path:
    """Weights whose encoder learned to fill in hidden image patches, for its fraction of the budget."""
    changes = merged(options.changes, {"objectives": {"labels": {"pretraining": 1.0}, "image": {"pretraining": 1.0}}})
    data = replace(data, folder=data.folder / "pretraining", budget=data.budget.fraction(options.pretraining))
    recipe = with_budget(recipe_for(replace(options, changes=changes), data), data.budget)
    weights = data.folder / "weights"
    if not (weights / "config.json").exists():
        model, _ = averaged(train(recipe, RunLocation(data.folder, data.device)))
        save_weights(model, weights, "# Encoder\n\nLearned to fill in hidden image patches in a benchmark.\n")
    return weights


def _write_recipe(recipe: Recipe, folder: Path) -> None:
    """Write the recipe of the training beside its checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(json.dumps(recipe.as_dict(), indent=2), encoding="utf-8")
