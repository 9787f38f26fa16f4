"""Recipes: everything that decides a training run, as frozen values read from TOML. An unknown key is an error."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from math import inf
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from mvg._plugins import contributions, named
from mvg.errors import FileError, RecipeError
from mvg.model.generalist import SIZES, GeneralistConfig, Rule, rules_of
from mvg.tasks import kinds
from mvg.training import objectives
from mvg.training.augmentation import AugmentationSettings
from mvg.training.episodes import EpisodeSettings
from mvg.training.losses import LossSettings
from mvg.training.optimization import Budget, OptimizerSettings
from mvg.training.precision import Precision


@dataclass(frozen=True)
class DataSettings:
    """store: folder that `mvg prepare` wrote; sets: names to use (empty: all); tasks: kinds to use (empty: all);
    workers: processes that make episodes."""

    store: str = "store"
    sets: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    workers: int = 1


@dataclass(frozen=True)
class ObjectiveSettings:
    """Shares of the objectives by what a task answers (Sec. 4.1). ratio: share of patches hidden in masked modeling;
    first_pair: weight of a pair that no prompt precedes."""

    labels: dict[str, float] = field(default_factory=lambda: {"autoregressive": 1.0})
    image: dict[str, float] = field(default_factory=lambda: {"masked": 0.9, "autoregressive": 0.1})
    ratio: float = 0.75
    first_pair: float = 0.0

    def draw(self, target_type: str, rng: np.random.Generator) -> str:
        """The name of an objective for a batch whose targets are "labels" or "image"."""
        shares = self.labels if target_type == "labels" else self.image
        return str(rng.choice(list(shares), p=list(shares.values())))


@dataclass(frozen=True)
class ScheduleSettings:
    """How long: `steps`, or `minutes` of wall time where positive (the rate then follows the clock).

    checkpoint, validate: minutes between them; log: steps between two points of the curves."""

    steps: int = 10000
    minutes: float = 0.0
    checkpoint: float = 5.0
    validate: float = 15.0
    log: int = 50

    @property
    def budget(self) -> Budget:
        """How long the run lasts."""
        return Budget(seconds=60 * self.minutes, steps=self.steps)


@dataclass(frozen=True)
class Recipe:
    """A training run.

    name: of its folder; model: the network; start: weights (id or folder) to start from, whose network then replaces
    `model`, "" for random ones; initialize: weights, a checkpoint or a public ViT-MAE whose image encoder `model` takes
    over, see `model.initialization`; precision: see `training.precision`.
    """

    name: str = "run"
    seed: int = 0
    start: str = ""
    initialize: str = ""
    precision: Precision = "auto"
    model: GeneralistConfig = field(default_factory=GeneralistConfig)
    data: DataSettings = field(default_factory=DataSettings)
    episodes: EpisodeSettings = field(default_factory=EpisodeSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    objectives: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint or a card."""
        return asdict(self)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; FileError if it is no readable TOML, RecipeError for unknown keys and impossible values."""
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise FileError(f"cannot read {path}: {problem.strerror}", "a recipe (TOML)", "check the path") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise FileError(f"{path} is not TOML: {problem}", "a recipe (TOML)", "correct that line") from problem
    return recipe_from(table)


def recipe_from(table: Mapping[str, Any]) -> Recipe:
    """Build a recipe from plain values. `model.name` may name a size, whose values the other keys of `model` change."""
    table = dict(table)
    given = table.pop("model", {})
    if not isinstance(given, Mapping):
        raise RecipeError(f"model = {given!r}", "a table [model]", "write it as a table")
    model = dict(given)
    size = model.pop("name", "tiny")
    if not isinstance(size, str) or size not in SIZES:
        raise RecipeError(f"model.name = {size!r}", f"one of {', '.join(SIZES)}", "choose one of these")
    recipe: Recipe = build(Recipe, {**table, "model": SIZES[size].as_dict() | model}, "")
    _check(recipe)
    return recipe


def _check(recipe: Recipe) -> None:
    """RecipeError for values that are well typed, but impossible; UnknownNameError for kinds of tasks."""
    known = contributions(objectives)
    for share in (recipe.objectives.labels, recipe.objectives.image):
        for name in share:
            if name not in known:
                raise RecipeError(f"objective '{name}'", f"one of {', '.join(known)}", "choose one of these")
        if not abs(sum(share.values()) - 1) < 1e-8:
            raise RecipeError(f"objective shares {share} add up to {sum(share.values())}", "a sum of 1", "correct them")
    for name in recipe.data.tasks:
        named(kinds, name)
    _hold((*_run_rules(recipe), *_range_rules(recipe)))
    if not recipe.start:  # which brings its own network
        check_model(recipe)


def check_model(recipe: Recipe) -> None:
    """Raises RecipeError for a network that cannot be, or that cannot be shown the sizes of the episodes."""
    _hold(rules_of(recipe.model, recipe.episodes.sizes))


def _hold(rules: Iterable[Rule]) -> None:
    for holds, found, expected in rules:
        if not holds:
            raise RecipeError(found, expected, "correct it")


def _run_rules(recipe: Recipe) -> list[Rule]:
    episodes, asked, optimizer = recipe.episodes, recipe.objectives, recipe.optimizer
    (fewest, most), (least, all_), zoom = episodes.panels, episodes.classes, recipe.augmentation.zoom
    begun = f"start = '{recipe.start}' and initialize = '{recipe.initialize}'"
    prompted = any(share.get("autoregressive") for share in (asked.labels, asked.image))
    scored = fewest >= 2 or asked.first_pair > 0 or not prompted
    return [
        (not (recipe.start and recipe.initialize), begun, "one of both"),
        (1 <= fewest <= most, f"episodes.panels = {episodes.panels}", "1 <= fewest <= most"),
        (scored, f"episodes.panels = {episodes.panels} for 'autoregressive'", "at least 2, or objectives.first_pair"),
        (1 <= least <= all_, f"episodes.classes = {episodes.classes}", "1 <= fewest <= most"),
        (0 < episodes.share <= 1, f"episodes.share = {episodes.share}", "a share above 0, at most 1"),
        (0 < optimizer.decay <= 1, f"optimizer.decay = {optimizer.decay}", "a share above 0, at most 1"),
        (0 < zoom[0] <= zoom[1], f"augmentation.zoom = {zoom}", "0 < fewest <= most"),
        (all(0 <= beta < 1 for beta in optimizer.betas), f"optimizer.betas = {optimizer.betas}", "shares in [0, 1)"),
        (optimizer.clip > 0, f"optimizer.clip = {optimizer.clip}", "more than 0"),
        (0 < optimizer.rate < inf, f"optimizer.rate = {optimizer.rate}", "more than 0, and finite"),
        (0 <= recipe.schedule.minutes < inf,
         f"schedule.minutes = {recipe.schedule.minutes}", "more than 0 and finite, or 0 to count steps"),
    ]  # fmt: skip


def _range_rules(recipe: Recipe) -> list[Rule]:
    """Shares that may be 1, shares that may not, and what has a least value."""
    episodes, asked, optimizer = recipe.episodes, recipe.objectives, recipe.optimizer
    whole = {
        "episodes.focus": episodes.focus,
        "episodes.labels": episodes.labels,
        "augmentation.remap": recipe.augmentation.remap,
        "objectives.first_pair": asked.first_pair,
        **{f"objectives.labels.{name}": share for name, share in asked.labels.items()},
        **{f"objectives.image.{name}": share for name, share in asked.image.items()},
    }
    part = {"objectives.ratio": asked.ratio, "optimizer.warmup": optimizer.warmup}
    least = {
        "seed": (recipe.seed, 0),
        "data.workers": (recipe.data.workers, 0),
        "episodes.batch": (episodes.batch, 1),
        "episodes.near": (episodes.near, 0),
        "loss.beta": (recipe.loss.beta, 0),
        "optimizer.weight_decay": (optimizer.weight_decay, 0),
        "schedule.steps": (recipe.schedule.steps, 1),
        "schedule.log": (recipe.schedule.log, 1),
    }
    return [
        *((0 <= value <= 1, f"{name} = {value}", "a share in [0, 1]") for name, value in whole.items()),
        *((0 <= value < 1, f"{name} = {value}", "a share in [0, 1)") for name, value in part.items()),
        *((value >= few, f"{name} = {value}", f"at least {few}") for name, (value, few) in least.items()),
    ]


def build(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    """A frozen dataclass of settings from plain values; RecipeError names what is unknown or of the wrong type."""
    known = {f.name for f in fields(kind)}
    for key in table:
        if key not in known:
            raise RecipeError(
                f"unknown key '{where}{key}'", f"one of {', '.join(sorted(known))}", "correct or remove it"
            )
    hints = get_type_hints(kind)
    return kind(**{key: _value(hints[key], value, f"{where}{key}") for key, value in table.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise RecipeError(f"{where} = {value!r}", f"a table [{where}]", "write it as a table")
        return build(hint, value, f"{where}.")
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        inner = [parts[0]] * len(value) if isinstance(value, (list, tuple)) and parts[-1] is Ellipsis else list(parts)
        if not isinstance(value, (list, tuple)) or len(inner) != len(value):
            raise RecipeError(f"{where} = {value!r}", f"a list of {len(parts)} values", "correct it")
        return tuple(_value(part, item, where) for part, item in zip(inner, value, strict=True))
    if get_origin(hint) is dict:
        if not isinstance(value, Mapping):
            raise RecipeError(f"{where} = {value!r}", "a table of name = share", "correct it")
        return {str(name): _value(get_args(hint)[1], share, f"{where}.{name}") for name, share in value.items()}
    if NoneType in get_args(hint):  # what a file leaves out is None
        return _value(get_args(hint)[0], value, where)
    choices = get_args(hint)
    if choices and value not in choices:
        raise RecipeError(f"{where} = {value!r}", f"one of {', '.join(map(str, choices))}", "choose one of these")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not choices and not (isinstance(value, hint) and not (hint is int and isinstance(value, bool))):
        raise RecipeError(f"{where} = {value!r}", f"a value of type {hint.__name__}", "correct it")
    return value
