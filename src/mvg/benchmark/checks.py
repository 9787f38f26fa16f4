"""What can be told before a suite starts: names, budgets, what methods need, results of another run in its folder."""

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

_NOTE = "suite.json"
_TOLD = {"methods": "another", "weights": "other weights of", "sets": "other cases of"}
_LOOSE = ("title", "axis", "methods", "seeds")  # of a suite, that results do not depend on, method by method


def check_folder(output: Path) -> None:
    """Makes the folder of the results where there is none; FileError where it cannot be made or written to."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=output):
            pass
    except OSError as problem:
        raise FileError(
            f"'{output}' cannot hold results ({problem.strerror})",
            "a folder that can be made and written to",
            "choose another --output",
        ) from problem


def check_suite(suite: Suite, sets: Mapping[str, DataSet], output: Path) -> None:
    """Raises before anything is learnt: UnknownNameError for sets, RecipeError without a budget, BenchmarkError for
    libraries or files that a method lacks, and where `output` holds results of another suite, other data or weights.
    """
    known = set(sets)
    for name in (*suite.unseen, *suite.folders, *suite.kinds):
        if name not in known:
            raise UnknownNameError("set of the suite", name, known)
    if any(entry.learns for entry in suite.methods) and suite.minutes == suite.samples == 0:
        raise RecipeError("methods that learn, and no budget", "minutes or samples above 0", "set one, or --minutes")
    for entry in suite.methods:
        if (check := getattr(entry.module, "check", None)) is not None:
            check(entry.settings)
    for metric in suite.judges.values():
        metric.check()
    check_libraries()
    _check_output(suite, sets, output)


def _check_output(suite: Suite, sets: Mapping[str, DataSet], output: Path) -> None:
    """What was done there must have been done alike: else lines of two kinds would stand in one table."""
    note = output / _NOTE
    shared = _plain({key: value for key, value in asdict(suite).items() if key not in _LOOSE})
    mine = {
        "methods": {
            entry.label: _plain([entry.baseline, asdict(entry.settings), _recipe(entry.settings)])
            for entry in suite.methods
        },
        "weights": {entry.label: _weights(entry.settings) for entry in suite.methods},
        "sets": {name: _cases(found) for name, found in sets.items()},
    }
    if note.exists():
        there = json.loads(note.read_text(encoding="utf-8"))
        differs = [f"{key} = {there['suite'].get(key)}" for key in shared if there["suite"].get(key) != shared[key]]
        for what, told in _TOLD.items():
            before = there.get(what, {})  # older notes do not name sets and weights
            differs += [f"{told} '{name}'" for name, now in mine[what].items() if before.get(name, now) != now]
            mine[what] = before | mine[what]
        if differs:
            raise BenchmarkError(
                f"{output} holds results of another run: {', '.join(differs)}",
                "the same budget, questions, methods and data as before",
                "choose another --output, or remove that folder",
            )
    with atomic_file(note) as temporary:
        temporary.write_text(json.dumps({"suite": shared, **mine}, indent=1), encoding="utf-8")


def _recipe(settings: Any) -> str:
    """What identifies the recipe that is named, if one is."""
    path = getattr(settings, "recipe", "")
    return hashlib.md5(Path(path).read_bytes()).hexdigest() if path else ""


def _weights(settings: Any) -> str:
    """The checksum of the weights that are named, if any are."""
    name = getattr(settings, "weights", "")
    return describe_weights(name).sha256 if name else ""


def _cases(found: DataSet) -> str:
    """What identifies the cases of a set, with their files and when these changed."""
    told = [[case.name, case.split, *source_of(case, found.card)] for case in found.cases]
    return hashlib.md5(json.dumps([told, found.card.labels]).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value))
