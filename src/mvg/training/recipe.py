"""Recipes: everything that decides a training run, as frozen values that are read from TOML."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import inf
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mvg._plugins import contributions, named
from mvg._remote import is_url
from mvg.errors import FileError, RecipeError
from mvg.model.config import (
    FORMS,
    SIZES,
    GeneralistConfig,
    MatchingConfig,
    Rule,
    config_class,
    config_fields,
    config_rules,
)
from mvg.tasks import kinds
from mvg.training import objectives
from mvg.training.augmentation import AugmentationSettings
from mvg.training.devices import DeviceSettings
from mvg.training.distillation import DistillationSettings
from mvg.training.losses import LossSettings
from mvg.training.optimization import Budget, OptimizerSettings
from mvg.training.precision import Precision
from mvg.training.recipe_names import RENAMED
from mvg.training.requests import EpisodeSettings
from mvg.training.settings import read_settings


@dataclass(frozen=True)
class DataSettings:
    """Which data a run uses.

    store: folder or URL of what `mvg prepare` wrote, a store or shards; sets: names of data sets (empty: all); tasks:
    kinds of tasks (empty: all); workers: processes that make episodes; read_ahead: steps that threads of each of them
    (of the run itself without workers) make ahead, to hide the latency of a store that is far away. Without it, 8
    where the store is a URL, else 0.
    """

    store: str = "store"
    sets: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    workers: int = 1
    read_ahead: int | None = None

    @property
    def steps_ahead(self) -> int:
        """The steps that are made ahead."""
        default = 8 if is_url(self.store) else 0
        return default if self.read_ahead is None else self.read_ahead


@dataclass(frozen=True)
class ObjectiveSettings:
    """How often each objective is used (Sec. 4.1).

    labels, image: objective -> its share of the steps whose targets are labels, or images. mask_ratio: share of the
    patches that masked modeling hides.
    """

    labels: dict[str, float] = field(default_factory=lambda: {"autoregressive": 1.0})
    image: dict[str, float] = field(default_factory=lambda: {"masked": 0.9, "autoregressive": 0.1})
    mask_ratio: float = 0.75

    def draw(self, target_type: str, rng: np.random.Generator) -> str:
        """The name of an objective for a batch whose targets are "labels" or "image"."""
        shares = self.labels if target_type == "labels" else self.image
        return str(rng.choice(list(shares), p=list(shares.values())))


@dataclass(frozen=True)
class ScheduleSettings:
    """How long a run lasts: `steps`, or `minutes` of wall time where positive (the learning rate follows the clock).

    checkpoint_minutes, validation_minutes: between two of them; log_steps: steps between two points of the curves.
    checkpoint_state: "all" that an exact resumption needs, or the "averaged" weights alone, as bfloat16 in files of at
    most 15 MiB, after which optimizers start afresh.
    """

    steps: int = 10000
    minutes: float = 0.0
    checkpoint_minutes: float = 5.0
    validation_minutes: float = 15.0
    log_steps: int = 50
    checkpoint_state: Literal["all", "averaged"] = "all"

    @property
    def budget(self) -> Budget:
        """How long the run lasts."""
        return Budget(seconds=60 * self.minutes, steps=self.steps)


@dataclass(frozen=True)
class Recipe:
    """A training run.

    name: of its folder; start: weights (id or folder) to start from, whose network then replaces `model` ("": random
    weights); initialize: weights, a checkpoint or a public ViT-MAE whose image encoder `model` takes over, see
    `model.initialization`; trunk: weights whose frozen features of photographs a network with `model.pretrained` takes
    over; learns: "all" of the network, or its "picture_refiner" alone, to the weights of `start`, which then stay as
    they are; precision: see `training.precision`; model: the network.
    """

    name: str = "run"
    seed: int = 0
    start: str = ""
    initialize: str = ""
    trunk: str = ""
    learns: Literal["all", "picture_refiner"] = "all"
    precision: Precision = "auto"
    model: GeneralistConfig = field(default_factory=MatchingConfig)
    data: DataSettings = field(default_factory=DataSettings)
    episodes: EpisodeSettings = field(default_factory=EpisodeSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    objectives: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    distillation: DistillationSettings = field(default_factory=DistillationSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    devices: DeviceSettings = field(default_factory=DeviceSettings)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint or a card."""
        return {**asdict(self), "model": self.model.as_dict()}


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; FileError where it is no readable TOML, RecipeError for unknown keys and impossible values."""
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}", "a recipe (TOML)", "check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{path} is not TOML: {error}", "a recipe (TOML)", "correct that line") from error
    return recipe_from(table)


def recipe_from(table: Mapping[str, Any]) -> Recipe:
    """A recipe from plain values; `model.name` names a size, whose values the other keys of `model` replace."""
    model = model_from(table.get("model", {}))
    settings = {key: value for key, value in table.items() if key != "model"}
    recipe = replace(read_settings(Recipe, settings, renamed=RENAMED), model=model)
    _check(recipe)
    return recipe


def model_from(table: Any) -> GeneralistConfig:
    """A model's config from the table [model]; RecipeError for what it cannot hold."""
    if not isinstance(table, Mapping):
        raise RecipeError(f"model = {table!r}", "a table", "correct it")
    size = table.get("name", "tiny")
    if not isinstance(size, str) or size not in SIZES:
        raise RecipeError(f"model.name = {size!r}", f"one of {', '.join(SIZES)}", "choose one of these")
    values = SIZES[size].as_dict() | {key: value for key, value in table.items() if key != "name"}
    form = config_class(values)
    if form is None:
        raise RecipeError(f"model.form = {values['form']!r}", f"one of {', '.join(FORMS)}", "choose one of these")
    return read_settings(form, config_fields(values, form), "model.")


def _check(recipe: Recipe) -> None:
    """RecipeError for values of the right type that are impossible; UnknownNameError for kinds of tasks."""
    for shares in (recipe.objectives.labels, recipe.objectives.image):
        _check_shares(shares)
    for name in (*recipe.data.tasks, *recipe.episodes.kind_weights):
        named(kinds, name)
    _hold((*_run_rules(recipe), *_range_rules(recipe)))
    if not recipe.start:  # weights to start from have a network of their own
        check_model(recipe)


def _check_shares(shares: Mapping[str, float]) -> None:
    known = contributions(objectives)
    for name in shares:
        if name not in known:
            raise RecipeError(f"objective '{name}'", f"one of {', '.join(known)}", "choose one of these")
    if not abs(sum(shares.values()) - 1) < 1e-8:
        raise RecipeError(f"objective shares {shares} add up to {sum(shares.values())}", "a sum of 1", "correct them")


def check_model(recipe: Recipe) -> None:
    """Raises RecipeError for an impossible network, and for one that cannot take the sizes of the episodes."""
    _hold(config_rules(recipe.model, recipe.episodes.sizes))
    if recipe.learns == "picture_refiner" and recipe.model.paints:
        problem = "learns = 'picture_refiner' with a network that paints labels"
        raise RecipeError(problem, "weights of the matching form with a channel per class", "choose another start")


def _hold(rules: Iterable[Rule]) -> None:
    for holds, problem, expected in rules:
        if not holds:
            raise RecipeError(problem, expected, "correct it")


def _run_rules(recipe: Recipe) -> list[Rule]:
    """Rules about several values at once."""
    episodes, shares = recipe.episodes, (recipe.objectives.labels, recipe.objectives.image)
    prompted = any(share.get("autoregressive") for share in shares)
    photographs = isinstance(recipe.model, MatchingConfig) and recipe.model.pretrained > 0
    random_trunk = photographs and not (recipe.start or recipe.trunk)
    starts = f"start = '{recipe.start}' and initialize = '{recipe.initialize}'"
    panels, classes = f"episodes.panels = {episodes.panels}", f"episodes.classes = {episodes.classes}"
    zoom, parts = recipe.augmentation.zoom, recipe.devices.gradient_accumulation
    whole = parts >= 1 and episodes.batch % parts == 0
    shardable = recipe.devices.sharding == "none" or recipe.optimizer.name == "adamw"
    refines = recipe.learns == "picture_refiner"
    return [
        (not refines or bool(recipe.start), "learns = 'picture_refiner' without start", "weights that it is added to"),
        (not refines or recipe.devices.sharding == "none", "learns = 'picture_refiner' with sharding", "'none'"),
        (not refines or episodes.label_fraction == 0, "learns = 'picture_refiner' with labels", "label_fraction = 0"),
        (not (recipe.start and recipe.initialize), starts, "only one of the two"),
        (not (recipe.start and recipe.trunk), f"start = '{recipe.start}' and trunk", "only one of the two"),
        (not random_trunk, "model.pretrained without trained features", "weights that have them as trunk"),
        (1 <= episodes.panels[0] <= episodes.panels[1], panels, "1 <= fewest <= most"),
        (episodes.panels[0] >= 2 or not prompted, f"{panels} for 'autoregressive'", "at least 2"),
        (1 <= episodes.classes[0] <= episodes.classes[1], classes, "1 <= fewest <= most"),
        (0 < zoom[0] <= zoom[1], f"augmentation.zoom = {zoom}", "0 < least <= most"),
        (whole, f"devices.gradient_accumulation = {parts}", f"a divisor of episodes.batch = {episodes.batch}"),
        (shardable, "devices.sharding = 'full' with optimizer.name = 'muon'", "'adamw', whose steps can be sharded"),
    ]


_Range = tuple[str, Callable[[float], bool]]
_FRACTION: _Range = "a share in [0, 1]", lambda value: 0 <= value <= 1
_NOT_WHOLE: _Range = "a share in [0, 1)", lambda value: 0 <= value < 1
_SHARE: _Range = "a share above 0, at most 1", lambda value: 0 < value <= 1
_POSITIVE: _Range = "more than 0, and finite", lambda value: 0 < value < inf
_NOT_NEGATIVE: _Range = "at least 0, and finite", lambda value: 0 <= value < inf
_COUNT: _Range = "at least 1", lambda value: value >= 1
_RANGES = {
    "seed": _NOT_NEGATIVE,
    "data.workers": _NOT_NEGATIVE,
    "data.read_ahead": _NOT_NEGATIVE,
    "episodes.batch": _COUNT,
    "episodes.label_fraction": _FRACTION,
    "episodes.position_jitter": _NOT_NEGATIVE,
    "episodes.empty_query_fraction": _FRACTION,
    "episodes.zoom_fraction": _FRACTION,
    "episodes.synthetic_fraction": _FRACTION,
    "episodes.same_volume_fraction": _FRACTION,
    "episodes.mixed_fraction": _FRACTION,
    "episodes.imperfect_prompt_fraction": _FRACTION,
    "episodes.patient_fraction": _SHARE,
    "episodes.max_patients": _NOT_NEGATIVE,
    "augmentation.flip_fraction": _FRACTION,
    "augmentation.inversion_fraction": _FRACTION,
    "augmentation.remap_fraction": _FRACTION,
    "objectives.mask_ratio": _NOT_WHOLE,
    "loss.smooth_l1_beta": _NOT_NEGATIVE,
    "loss.relative_floor": _NOT_NEGATIVE,
    "distillation.share": _FRACTION,
    "optimizer.learning_rate": _POSITIVE,
    "optimizer.weight_decay": _NOT_NEGATIVE,
    "optimizer.warmup_fraction": _NOT_WHOLE,
    "optimizer.decay_fraction": _SHARE,
    "optimizer.clip_norm": _POSITIVE,
    "optimizer.ema_decay": _NOT_WHOLE,
    "schedule.steps": _COUNT,
    "schedule.minutes": _NOT_NEGATIVE,
    "schedule.log_steps": _COUNT,
}


def _range_rules(recipe: Recipe) -> list[Rule]:
    """Rules about the range of one value."""
    values = [(key, attrgetter(key)(recipe), *_RANGES[key]) for key in _RANGES]
    rules = [(is_valid(value), f"{key} = {value}", text) for key, value, text, is_valid in values if value is not None]
    for table in ("labels", "image"):
        for name, share in getattr(recipe.objectives, table).items():
            rules.append((_FRACTION[1](share), f"objectives.{table}.{name} = {share}", _FRACTION[0]))
    for table in ("set_weights", "kind_weights"):
        for name, weight in getattr(recipe.episodes, table).items():
            rules.append((_POSITIVE[1](weight), f"episodes.{table}.{name} = {weight}", _POSITIVE[0]))
    return rules
