"""Checks before a suite starts: names, budgets, what methods need, and results of another run in its folder."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from mvg._atomic import atomic_file
from mvg.benchmark.report.libraries import check_libraries
from mvg.benchmark.suite import Suite
from mvg.data import DataSet
from mvg.data.preparation import source_of
from mvg.errors import BenchmarkError, FileError, RecipeError, UnknownNameError
from mvg.model.weights import describe_weights
from mvg.tasks import spec_of

_FILE = "suite.json"
_DIFFERENCES = {"methods": "another", "weights": "other weights of", "sets": "other cases of"}
_FREE = ("title", "axis", "methods", "seeds")  # of a suite: the results of one method do not depend on them


def check_folder(output: Path) -> None:
    """Make the folder of the results if it is missing; FileError if it cannot be made or written to."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise FileError(
            f"'{output}' cannot hold results ({error.strerror})",
            "a folder that can be made and written to",
            "choose another --output",
        ) from error


def check_suite(suite: Suite, sets: Mapping[str, DataSet], output: Path) -> None:
    """Raise an error before anything is trained.

    UnknownNameError for sets, RecipeError without a budget, BenchmarkError for cases to leave out that a set lacks, for
    missing libraries or files of a method, and if `output` has results of another suite, of other data or of other
    weights.
    """
    for name in (*suite.unseen, *suite.folders, *suite.tasks_by_set, *suite.left_out):
        if name not in sets:
            raise UnknownNameError("set of the suite", name, set(sets))
    for name, cases in suite.left_out.items():
        if missing := sorted(set(cases) - {case.name for case in sets[name].cases}):
            problem = f"left_out of {name} names '{missing[0]}', which the set lacks"
            raise BenchmarkError(problem, "names of its cases", "correct the suite, or use the data that it is for")
    if any(entry.is_trained for entry in suite.methods) and suite.minutes == suite.samples == 0:
        raise RecipeError("methods that train, and no budget", "minutes or samples above 0", "set one, or --minutes")
    for entry in suite.methods:
        if (check := getattr(entry.module, "check", None)) is not None:
            check(entry.options)
    for metric in suite.used_metrics.values():
        metric.check()
    check_libraries()
    _check_output(suite, sets, output)
    _check_metrics(suite)


def _check_metrics(suite: Suite) -> None:
    """Refuse tasks that no metric measures: they would be predicted in vain."""
    measured = {metric.target_type for metric in suite.used_metrics.values()}
    missing = [kind for kind in suite.tasks if spec_of(kind).target_type not in measured]
    if missing:
        raise RecipeError(
            f"the metrics {', '.join(suite.used_metrics)} measure nothing of {', '.join(missing)}",
            f"a metric for targets of type {spec_of(missing[0]).target_type}",
            "name another metric",
        )


def _check_output(suite: Suite, sets: Mapping[str, DataSet], output: Path) -> None:
    """Refuse a folder with results of another run: one table must not mix the two."""
    file = output / _FILE
    now = _identity(suite, sets)
    if file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        suite_before = before["suite"]
        differences = [f"{key} = {suite_before.get(key)}" for key, value in now["suite"].items()
                       if suite_before.get(key) != value]  # fmt: skip
        for part, words in _DIFFERENCES.items():
            known = before.get(part, {})  # older files lack sets and weights
            differences += [f"{words} '{name}'" for name, value in now[part].items() if known.get(name, value) != value]
            now[part] = known | now[part]
        if differences:
            raise BenchmarkError(
                f"{output} holds results of another run: {', '.join(differences)}",
                "the same budget, cases, methods and data as before",
                "choose another --output, or remove that folder",
            )
    with atomic_file(file) as temporary:
        temporary.write_text(json.dumps(now, indent=1), encoding="utf-8")


def _identity(suite: Suite, sets: Mapping[str, DataSet]) -> dict[str, dict[str, Any]]:
    """What results depend on, as plain JSON values: the suite, and methods, weights and sets by name."""
    identity: dict[str, dict[str, Any]] = {
        "suite": {key: value for key, value in asdict(suite).items() if key not in _FREE},
        "methods": {
            entry.label: [entry.rival, asdict(entry.options), _recipe_checksum(entry.options)]
            for entry in suite.methods
        },
        "weights": {entry.label: _weights_checksum(entry.options) for entry in suite.methods},
        "sets": {name: _cases_checksum(data_set) for name, data_set in sets.items()},
    }
    as_json: dict[str, dict[str, Any]] = json.loads(json.dumps(identity))
    return as_json


def _recipe_checksum(options: Any) -> str:
    path = getattr(options, "recipe", "")
    return hashlib.md5(Path(path).read_bytes()).hexdigest() if path else ""


def _weights_checksum(options: Any) -> str:
    name = getattr(options, "weights", "")
    return describe_weights(name).sha256 if name else ""


def _cases_checksum(data_set: DataSet) -> str:
    """The checksum of the cases, of the names of their files and of the times of their last change."""
    cases = [[case.name, case.split, *source_of(case, data_set.card)] for case in data_set.cases]
    return hashlib.md5(json.dumps([cases, data_set.card.labels]).encode()).hexdigest()
