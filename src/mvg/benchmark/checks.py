"""What can be told before a suite starts: names, budgets, what methods need, results of another suite in its folder."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mvg.benchmark.suite import Suite
from mvg.errors import BenchmarkProblem, RecipeProblem, UnknownName

_NOTE = "suite.json"
_LOOSE = ("title", "axis", "methods", "seeds")  # of a suite, that results do not depend on, method by method


def check_suite(suite: Suite, sets: Iterable[str], output: Path) -> None:
    """Raises before anything is learnt: UnknownName for sets, RecipeProblem without a budget, BenchmarkProblem for
    libraries or files that a method lacks, and where `output` holds what another suite has left.
    """
    known = set(sets)
    for name in (*suite.unseen, *suite.folders, *suite.kinds):
        if name not in known:
            raise UnknownName("set of the suite", name, known)
    if any(entry.learns for entry in suite.methods) and suite.minutes == suite.samples == 0:
        raise RecipeProblem("methods that learn, and no budget", "minutes or samples above 0", "set one, or --minutes")
    for entry in suite.methods:
        if (check := getattr(entry.module, "check", None)) is not None:
            check(entry.settings)
    for metric in suite.judges.values():
        metric.check()
    _check_output(suite, output)


def _check_output(suite: Suite, output: Path) -> None:
    """What was done there must have been done alike: else lines of two kinds would stand in one table."""
    note = output / _NOTE
    mine = {
        entry.label: _plain([entry.baseline, asdict(entry.settings), _recipe(entry.settings)])
        for entry in suite.methods
    }
    shared = _plain({key: value for key, value in asdict(suite).items() if key not in _LOOSE})
    if note.exists():
        there = json.loads(note.read_text(encoding="utf-8"))
        differs = [f"{key} = {there['suite'].get(key)}" for key in shared if there["suite"].get(key) != shared[key]]
        differs += [f"another '{label}'" for label in mine if there["methods"].get(label, mine[label]) != mine[label]]
        if differs:
            raise BenchmarkProblem(
                f"{output} holds results of another run: {', '.join(differs)}",
                "the same budget, questions and methods as before",
                "choose another --output, or remove that folder",
            )
        mine = there["methods"] | mine
    output.mkdir(parents=True, exist_ok=True)
    partial = note.with_suffix(".partial")
    partial.write_text(json.dumps({"suite": shared, "methods": mine}, indent=1), encoding="utf-8")
    partial.replace(note)


def _recipe(settings: Any) -> str:
    """What identifies the recipe that is named, if one is."""
    path = getattr(settings, "recipe", "")
    return hashlib.md5(Path(path).read_bytes()).hexdigest() if path else ""


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value))
