"""Ours: shipped weights as they are, or a model learnt in the benchmark by a recipe, within the equal budget."""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mvg.benchmark.protocol.method import Budget, Request, Scope, TrainingData
from mvg.errors import FileError
from mvg.imaging.volume import LabelMap, Volume
from mvg.model.weights import save_weights, verify_weights
from mvg.prediction.finetuning import tune
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor, PromptedTask, load
from mvg.prediction.quality import quality
from mvg.tasks import Task
from mvg.training.checkpoint import averaged
from mvg.training.launch import RunLocation
from mvg.training.recipe import Recipe, recipe_from
from mvg.training.task_sources import predefined_colors, task_sources
from mvg.training.train import store_of, train

SCOPE: Scope = "generalist"
PROMPTED = True


@dataclass(frozen=True)
class Settings:
    """weights: an id or folder, asked as it is (nothing is learnt); else a model learns.

    recipe: a TOML file ("": the defaults); changes: keys that replace the recipe's, table by table. pretraining: share
    of the budget that is spent on hidden image patches first, whose encoder then starts the model. share: part of the
    suite's budget that is spent at all, for curves of quality against time. tune: seconds of tuning on the prompts of
    every request first. slices: prompt slices shown per query slice (0: as many as there are prompt cases). The rest:
    see `Predictor.prompt`.
    """

    weights: str = ""
    recipe: str = ""
    changes: dict[str, Any] = field(default_factory=dict, hash=False)
    pretraining: float = 0.0
    share: float = 1.0
    strategy: str = "alike_nearby"
    members: int = 1
    zoom: str = "auto"
    propagate: float = 0.0
    min_probability: float | None = None
    tune: float = 0.0
    slices: int = 0


def serves(task: Task) -> bool:
    """Every task."""
    return True


def check(settings: Settings) -> None:
    """Whether the weights are there and whole, and the recipe can be read."""
    if settings.weights:
        verify_weights(settings.weights)
    else:
        _table(settings)


def learn(settings: Settings, lesson: TrainingData) -> "PromptedMethod":
    """Load the weights, or learn for the budget as the recipe says."""
    if settings.weights:
        return PromptedMethod(load(settings.weights, lesson.device), settings)
    recipe = recipe_for(settings, lesson)
    lesson = replace(lesson, budget=part(lesson.budget, settings.share))
    if settings.pretraining > 0:
        recipe = replace(recipe, initialize=str(_pretrained(settings, lesson)))
        lesson = replace(lesson, budget=part(lesson.budget, 1 - settings.pretraining))
    recipe = timed(recipe, lesson.budget)
    _note(recipe, lesson.folder)
    checkpoint = train(recipe, RunLocation(lesson.folder, lesson.device))
    model, about = averaged(checkpoint)
    predictor = Predictor(model.to(lesson.device), str(lesson.folder))
    return PromptedMethod(predictor, settings, about["step"], _colors(recipe))


Colors = Callable[[str, tuple[int, ...]], tuple[float, ...]]
"""A set's name and label values -> the colors that they are asked in; none: as far apart as can be."""


def _colors(recipe: Recipe) -> Colors:
    """The colors that were learnt; sets that were not learnt from have no predefined ones."""
    if recipe.episodes.coloring == "binary":
        return lambda name, values: (1.0,) * len(values)
    if recipe.episodes.coloring == "random":
        return lambda name, values: ()
    sources = task_sources(store_of(recipe), ("train",), recipe.data.tasks)
    return lambda name, values: predefined_colors(sources, name, values) if name in recipe.data.sets else ()


def recipe_for(settings: Settings, lesson: TrainingData) -> Recipe:
    """The recipe with the suite's changes, on the lesson's store, sets and kinds of tasks."""
    data = {
        "store": str(lesson.store.folder),
        "sets": sorted({task.card.name for task in lesson.tasks}),
        "tasks": sorted({task.kind for task in lesson.tasks}),
        "workers": 0,
    }
    given = {"seed": lesson.seed, "precision": lesson.precision, "data": data}
    return recipe_from(merged(merged(_table(settings), settings.changes), given))


def _table(settings: Settings) -> dict[str, Any]:
    """The recipe's file; paths are meant from the folder that the benchmark is started in."""
    try:
        return tomllib.loads(Path(settings.recipe).read_text(encoding="utf-8")) if settings.recipe else {}
    except (OSError, ValueError) as problem:
        raise FileError(
            f"cannot read {settings.recipe} ({problem})", "a recipe (TOML)", "correct the suite, or start where it lies"
        ) from problem


def merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A nested table with the values of another in place of its own; shares of objectives are replaced as a whole."""
    out = dict(table)
    for key, value in changes.items():
        inner = isinstance(value, Mapping) and isinstance(out.get(key), Mapping) and key not in ("labels", "image")
        out[key] = merged(out[key], value) if inner else value
    return out


def timed(recipe: Recipe, budget: Budget) -> Recipe:
    """The recipe for just this budget; a request of n panels is n - 1 samples."""
    if budget.minutes > 0:
        return replace(recipe, schedule=replace(recipe.schedule, minutes=budget.minutes))
    panels = sum(recipe.episodes.panels) / 2 - 1
    steps = max(1, round(budget.samples / (recipe.episodes.batch * max(panels, 1))))
    return replace(recipe, schedule=replace(recipe.schedule, minutes=0.0, steps=steps))


class PromptedMethod:
    """A predictor as a method: prompts are shown once and kept while the same ones are asked about."""

    def __init__(
        self, predictor: Predictor, settings: Settings, steps: int = 0, colors: Colors = lambda name, values: ()
    ) -> None:
        self.predictor, self.settings, self.steps, self.colors = predictor, settings, steps, colors
        self._shown: dict[tuple[str, ...], PromptedTask] = {}

    def __call__(self, request: Request) -> Volume | LabelMap:
        """The answer from the request's prompts."""
        return self._prompted(request)(request.query).volume

    def _prompted(self, request: Request) -> PromptedTask:
        shown = sorted(request.prompts, key=lambda prompt: prompt.case)
        key = (request.task.card.name, request.task.name, *(prompt.case for prompt in shown))
        if key not in self._shown:
            if len(self._shown) >= 2:  # one prompt and all prompts take turns
                self._shown.pop(next(iter(self._shown)))
            prompted = self.predictor.prompt(
                [prompt.image for prompt in shown],
                [prompt.target for prompt in shown],
                request.task.name,
                self._options(len(shown)),
                modality=request.modality,
            )
            colors = self.colors(request.task.card.name, prompted.prompts.values)
            self._shown[key] = prompted.with_options(replace(prompted.options, colors=colors))
            if self.settings.tune > 0:
                self._shown[key], _ = tune(self._shown[key], self.settings.tune)
        return self._shown[key]

    def _options(self, prompts: int) -> PredictionOptions:
        settings = self.settings
        return PredictionOptions(
            settings.strategy, settings.slices or prompts, settings.members, zoom=settings.zoom,
            propagate=settings.propagate, min_probability=settings.min_probability,
        )  # fmt: skip

    def estimate(self, request: Request, answer: Volume | LabelMap) -> float | None:
        """How good the answer probably is, from the same prompts; None for pictures."""
        return quality(self._prompted(request), request.query, answer) if isinstance(answer, LabelMap) else None


def _pretrained(settings: Settings, lesson: TrainingData) -> Path:
    """Weights whose encoder has learnt to fill in hidden image patches, for its share of the budget."""
    changes = merged(settings.changes, {"objectives": {"labels": {"pretraining": 1.0}, "image": {"pretraining": 1.0}}})
    lesson = replace(lesson, folder=lesson.folder / "pretraining", budget=part(lesson.budget, settings.pretraining))
    recipe = timed(recipe_for(replace(settings, changes=changes), lesson), lesson.budget)
    weights = lesson.folder / "weights"
    if not (weights / "config.json").exists():
        model, _ = averaged(train(recipe, RunLocation(lesson.folder, lesson.device)))
        save_weights(model, weights, "# Encoder\n\nLearnt to fill in hidden image patches in a benchmark.\n")
    return weights


def part(budget: Budget, share: float) -> Budget:
    """A share of a budget."""
    return Budget(budget.minutes * share, round(budget.samples * share))


def _note(recipe: Recipe, folder: Path) -> None:
    """What was learnt by, beside the checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(json.dumps(recipe.as_dict(), indent=2), encoding="utf-8")
