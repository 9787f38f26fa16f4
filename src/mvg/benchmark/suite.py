"""Suites: which methods are judged on which sets and tasks, with which budget; frozen values read from TOML."""

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from mvg._plugins import contributions, named
from mvg.benchmark import metrics
from mvg.benchmark import rivals as baselines
from mvg.benchmark.protocol.method import Budget, plain
from mvg.benchmark.protocol.metric import Metric
from mvg.errors import FileError, RecipeError
from mvg.tasks import Task
from mvg.tasks import kinds as task_kinds
from mvg.training.precision import Precision
from mvg.training.settings import read_settings


@dataclass(frozen=True)
class Entry:
    """One method of a suite. Further keys of its table are the baseline's own settings.

    baseline: its file in `baselines/`; label: what tables call it, unique in the suite, also as a file's name; x: its
    place on the axis of a curve, where the suite names one.
    """

    baseline: str
    label: str
    settings: Any
    x: float | None = None

    @property
    def module(self) -> ModuleType:
        """The baseline's file."""
        return named(baselines, self.baseline)

    @property
    def learns(self) -> bool:
        """Whether it spends the budget: weights that are named are asked as they are."""
        ready = getattr(self.settings, "weights", "") and self.module.SCOPE == "generalist"
        return self.module.SCOPE != "untrained" and not ready


@dataclass(frozen=True)
class Suite:
    """A benchmark.

    title: for people; axis: what the entries' `x` counts, "" without a curve. sets: names (empty: all that are
    found); unseen: those of them that are asked but never learnt from; folders: set -> folder below the data folder,
    where it is not the set's name; tasks: kinds (empty: all); kinds: set -> its own kinds instead. prompts: how many
    are shown; cases: queries per task and slices: of a query volume (0: all), evenly spaced. seeds: of learning, each
    method learns once with each. minutes, samples: the equal budget (one of them is 0) per learning, or per learnt
    task: a generalist that learns ten tasks then has it ten times. precision: in which all learn. metrics: names
    (empty: all usual ones). made: judge on made data.
    """

    name: str
    title: str
    methods: tuple[Entry, ...]
    axis: str = ""
    sets: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    folders: dict[str, str] = field(default_factory=dict, hash=False)
    tasks: tuple[str, ...] = ()
    kinds: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    prompts: tuple[int, ...] = (1, 8)
    cases: int = 0
    slices: int = 0
    seeds: tuple[int, ...] = (0,)
    minutes: float = 0.0
    samples: int = 0
    per: Literal["learning", "task"] = "learning"
    precision: Precision = "auto"
    metrics: tuple[str, ...] = ()
    made: bool = False

    def budget(self, tasks: int) -> Budget:
        """What a learning of so many tasks may spend."""
        times = tasks if self.per == "task" else 1
        return Budget(self.minutes * times, self.samples * times)

    def asks(self, task: Task) -> bool:
        """Whether the task is judged at all: by its kind, and because a method serves it."""
        some = self.kinds.get(task.card.name, self.tasks)
        return (not some or task.kind in some) and any(entry.module.serves(task) for entry in self.methods)

    @property
    def judges(self) -> dict[str, Metric]:
        """The metrics by file name."""
        found = contributions(metrics)
        usual = (name for name in found if found[name].METRIC.usual)
        return {name: found[name].METRIC for name in self.metrics or usual}


def read_suite(path: Path) -> Suite:
    """Read a suite; FileError if it is no TOML, RecipeError for unknown keys, UnknownNameError for names."""
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise FileError(f"cannot read {path}: {problem.strerror}", "a suite (TOML)", "check the path") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise FileError(f"{path} is not TOML: {problem}", "a suite (TOML)", "correct that line") from problem
    return suite_from(table, Path(path).stem)


def suite_from(table: Mapping[str, Any], name: str) -> Suite:
    """Build a suite from plain values; its name is that of its file."""
    table = {"title": name, **table}
    given = table.pop("methods", [])
    if not isinstance(given, list) or not given or not all(isinstance(entry, Mapping) for entry in given):
        raise RecipeError(f"a suite without methods ({name})", "at least one table [[methods]]", "add one")
    entries = tuple(_entry(entry, f"methods[{place}]") for place, entry in enumerate(given))
    for reserved in ("name", "methods"):
        if reserved in table:
            raise RecipeError(f"unknown key '{reserved}'", "the suite's name is its file's", "remove it")
    suite = read_settings(Suite, {**table, "name": name, "methods": ()})
    suite = Suite(**{f.name: getattr(suite, f.name) for f in fields(suite)} | {"methods": entries})
    _check(suite)
    return suite


def _entry(table: Mapping[str, Any], where: str) -> Entry:
    rest = dict(table)
    baseline = str(rest.pop("baseline", ""))
    module = named(baselines, baseline)
    label, x = str(rest.pop("label", baseline)), rest.pop("x", None)
    if not isinstance(x, int | float | None):
        raise RecipeError(f"{where}.x = {x!r}", "a number", "correct it")
    return Entry(baseline, label, read_settings(module.Settings, rest, f"{where}."), None if x is None else float(x))


def _check(suite: Suite) -> None:
    for kind in (*suite.tasks, *(kind for some in suite.kinds.values() for kind in some)):
        named(task_kinds, kind)
    for metric in suite.metrics:
        named(metrics, metric)
    files = Counter(plain(entry.label) for entry in suite.methods)
    doubled = dict.fromkeys(entry.label for entry in suite.methods if files[plain(entry.label)] > 1)
    rules = [
        (
            not doubled,
            f"several methods called {', '.join(doubled)}",
            "one label per method, other in letters or digits",
        ),
        (suite.minutes == 0 or suite.samples == 0, "minutes and samples", "one budget"),
        (suite.minutes >= 0 and suite.samples >= 0, "a negative budget", "minutes or samples above 0"),
        (min(suite.prompts, default=0) >= 1, f"prompts = {list(suite.prompts)}", "numbers from 1 on"),
        (suite.cases >= 0 and suite.slices >= 0, "negative cases or slices", "0 (all) or more"),
        (bool(suite.seeds), "no seeds", "at least one"),
    ]
    for holds, found, expected in rules:
        if not holds:
            raise RecipeError(found, expected, f"correct the suite {suite.name}")
