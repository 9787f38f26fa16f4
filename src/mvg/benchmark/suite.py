"""Suites: which methods are compared on which sets and tasks, with which budget; frozen values read from TOML."""

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from mvg._plugins import contributions, named
from mvg.benchmark import metrics, rivals
from mvg.benchmark.protocol.method import Budget, file_name
from mvg.benchmark.protocol.metric import Metric
from mvg.data import DataSet
from mvg.errors import FileError, RecipeError
from mvg.tasks import Task, evaluated_tasks, spec_of
from mvg.training.precision import Precision
from mvg.training.settings import read_settings

_RENAMED = {"made": "synthetic", "kinds": "tasks_by_set"}
_RENAMED_OPTIONS = {
    "look": "zoom", "share": "budget_fraction", "reject": "min_probability", "patients": "max_patients",
    "turn": "rotation",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One method of a suite; further keys of its table are the options of the rival.

    rival: its file in `rivals/`; label: its name in tables, unique in the suite, also as a file's name; x: its place on
    the axis of a curve, None if it belongs to none.
    """

    rival: str
    label: str
    options: Any
    x: float | None = None

    @property
    def module(self) -> ModuleType:
        """The rival's file."""
        return named(rivals, self.rival)

    @property
    def corrects(self) -> bool:
        """Whether the method has slices of the query annotated."""
        return getattr(self.module, "CORRECTS", False) is True

    def serves(self, task: Task) -> bool:
        """Whether the method can do the task, which shows as many images as the method takes."""
        inputs = self.module.inputs(self.options) if hasattr(self.module, "inputs") else 1
        return bool(self.module.serves(task)) and task.spec.inputs == inputs

    @property
    def is_trained(self) -> bool:
        """Whether it spends the budget: a generalist with ready weights does not."""
        is_ready = getattr(self.options, "weights", "") and self.module.SCOPE == "generalist"
        return self.module.SCOPE != "untrained" and not is_ready


@dataclass(frozen=True)
class Suite:
    """A benchmark.

    title: for people; axis: what the methods' `x` counts, "" without a curve. sets: names (empty: all that are found);
    unseen: sets that are evaluated but never learned from; folders: set -> folder below the data folder, where it is
    not the set's name. tasks: kinds of tasks (empty: all); tasks_by_set: set -> its own kinds instead. prompts: numbers
    of prompts; annotated: instead of `prompts`, numbers of slices of the query that a user annotates, for methods that
    correct; cases: queries per task and slices: of a query volume (0: all), evenly spaced; left_out: set -> cases that
    are not asked, of patients whom the prompts show under another name. seeds: each method trains
    once with each. minutes, samples: the equal budget (one of them is 0) per training or per trained task: a generalist
    that learns ten tasks then has it ten times. precision: of all training. metrics: names (empty: the default ones).
    synthetic: use synthetic sets.
    """

    name: str
    title: str
    methods: tuple[Entry, ...]
    axis: str = ""
    sets: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    folders: dict[str, str] = field(default_factory=dict, hash=False)
    tasks: tuple[str, ...] = ()
    tasks_by_set: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    prompts: tuple[int, ...] = (1, 8)
    annotated: tuple[int, ...] = ()
    cases: int = 0
    slices: int = 0
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    seeds: tuple[int, ...] = (0,)
    minutes: float = 0.0
    samples: int = 0
    per: Literal["training", "task"] = "training"
    precision: Precision = "auto"
    metrics: tuple[str, ...] = ()
    synthetic: bool = False

    def budget(self, tasks: int) -> Budget:
        """The budget of one training on so many tasks."""
        times = tasks if self.per == "task" else 1
        return Budget(self.minutes * times, self.samples * times)

    @property
    def budget_text(self) -> str:
        """The budget in words."""
        per = " per task" if self.per == "task" else ""
        if self.minutes:
            return f"{self.minutes:g} min{per}"
        return f"{self.samples} samples{per}" if self.samples else "none"

    def tasks_of(self, data: DataSet) -> list[Task]:
        """The tasks of a set that are evaluated: their kinds are named, and a method serves them."""
        kinds = self.tasks_by_set.get(data.card.name, self.tasks)
        return [t for t in evaluated_tasks(data, kinds) if any(entry.serves(t) for entry in self.methods)]

    @property
    def used_metrics(self) -> dict[str, Metric]:
        """The metrics by file name."""
        known = {name: module.METRIC for name, module in contributions(metrics).items()}
        defaults = (name for name, metric in known.items() if metric.is_default)
        return {name: known[name] for name in self.metrics or defaults}


def read_suite(path: Path) -> Suite:
    """Read a suite; FileError if it is no TOML, RecipeError for unknown keys, UnknownNameError for names."""
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}", "a suite (TOML)", "check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{path} is not TOML: {error}", "a suite (TOML)", "correct that line") from error
    return suite_from(table, Path(path).stem)


def suite_from(table: Mapping[str, Any], name: str) -> Suite:
    """Build a suite from plain values; its name is that of its file."""
    values = {"title": name, **table}
    methods = values.pop("methods", [])
    if not isinstance(methods, list) or not methods or not all(isinstance(entry, Mapping) for entry in methods):
        raise RecipeError(f"a suite without methods ({name})", "at least one table [[methods]]", "add one")
    entries = tuple(_entry(entry, f"methods[{at}].") for at, entry in enumerate(methods))
    if "name" in values:
        raise RecipeError("unknown key 'name'", "the suite's name is its file's", "remove it")
    suite = replace(read_settings(Suite, {**values, "name": name, "methods": ()}, renamed=_RENAMED), methods=entries)
    _check(suite)
    return suite


def _entry(table: Mapping[str, Any], where: str) -> Entry:
    if "baseline" in table:
        raise RecipeError(f"unknown key '{where}baseline'", f"its new name '{where}rival'", "rename it")
    options = dict(table)
    rival = str(options.pop("rival", ""))
    module = named(rivals, rival)
    label, x = str(options.pop("label", rival)), options.pop("x", None)
    if not isinstance(x, int | float | None):
        raise RecipeError(f"{where}x = {x!r}", "a number", "correct it")
    return Entry(
        rival, label, read_settings(module.Options, options, where, _RENAMED_OPTIONS), None if x is None else float(x)
    )


def _check(suite: Suite) -> None:
    for kind in (*suite.tasks, *(kind for kinds in suite.tasks_by_set.values() for kind in kinds)):
        spec_of(kind)
    for metric in suite.metrics:
        named(metrics, metric)
    files = Counter(file_name(entry.label) for entry in suite.methods)
    repeated = dict.fromkeys(entry.label for entry in suite.methods if files[file_name(entry.label)] > 1)
    rules = [
        (
            not repeated,
            f"several methods called {', '.join(repeated)}",
            "one label per method, different in letters or digits",
        ),
        (suite.minutes == 0 or suite.samples == 0, "minutes and samples", "one budget"),
        (suite.minutes >= 0 and suite.samples >= 0, "a negative budget", "minutes or samples above 0"),
        (min(suite.annotated, default=1) >= 1, f"annotated = {list(suite.annotated)}", "numbers from 1 on"),
        (
            all(entry.corrects == bool(suite.annotated) for entry in suite.methods),
            "methods that correct beside others" if suite.annotated else "a method that corrects",
            "`annotated` and methods that correct, or neither",
        ),
        (min(suite.prompts, default=0) >= 1, f"prompts = {list(suite.prompts)}", "numbers from 1 on"),
        (suite.cases >= 0 and suite.slices >= 0, "negative cases or slices", "0 (all) or more"),
        (bool(suite.seeds), "no seeds", "at least one"),
    ]
    for holds, problem, expected in rules:
        if not holds:
            raise RecipeError(problem, expected, f"correct the suite {suite.name}")
