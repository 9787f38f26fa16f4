"""Result files, read: a header of provenance, then one line per case, method, metric and region."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvg._plugins import contributions
from mvg.benchmark import metrics
from mvg.benchmark.protocol.metric import Metric
from mvg.errors import FileError, UnknownNameError

_NEEDED = ("method", "set", "case", "patient", "task", "metric", "value")


@dataclass(frozen=True)
class Record:
    """One figure. prompts: 0 for methods that see none; x: its place on the axis of a curve, if it belongs to one.

    series: the curve; seconds: that the answer took, None if it is not told; unseen: nothing was learnt from the set.
    """

    suite: str
    method: str
    scope: str
    budget: str
    set: str
    case: str
    patient: str
    task: str
    prompts: int
    shown: int
    seed: int
    metric: Metric
    region: str
    range: str
    value: float
    steps: int
    seconds: float | None
    unseen: bool
    x: float | None
    series: str

    @property
    def kind(self) -> str:
        """The kind of task, "segmentation" of "segmentation:MRI"."""
        return self.task.split(":", 1)[0]


@dataclass(frozen=True)
class Results:
    """What result files hold. headers: one per file; folder: where they lie."""

    headers: tuple[dict[str, Any], ...]
    lines: tuple[Record, ...]
    folder: Path

    @property
    def axis(self) -> str:
        """What x counts."""
        return next((str(header["axis"]) for header in self.headers if header.get("axis")), "x")


def read_results(path: Path) -> Results:
    """A result file (JSON lines), or all of a folder together.

    Raises FileError where there is none, or none that can be read, and UnknownNameError for a metric that is not ours.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise FileError(f"no result files in '{path}'", "files called *.jsonl", "name a folder that has some")
    known = {module.METRIC.name: module.METRIC for module in contributions(metrics).values()}
    headers, lines = [], []
    for file in files:
        header, rows = _parsed(file)
        headers.append(header)
        lines += [_line(row, header, known, file) for row in rows]
    return Results(tuple(headers), tuple(lines), files[0].parent)


def _parsed(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return dict(found[0]["header"]), found[1:]
    except OSError as problem:
        raise FileError(f"cannot read '{path}': {problem.strerror}", "a result file", "check the path") from problem
    except (ValueError, LookupError, TypeError) as problem:
        raise FileError(
            f"'{path}' is not a result file ({problem})", "JSON lines, the first one a header", "run the suite again"
        ) from problem


def _line(row: dict[str, Any], header: dict[str, Any], known: dict[str, Metric], path: Path) -> Record:
    missing = [key for key in _NEEDED if key not in row]
    if missing:
        raise FileError(f"a line of '{path}' lacks {', '.join(missing)}", "all of them", "run the suite again")
    name = str(row["metric"])
    if name not in known:
        raise UnknownNameError("metric", name, known)
    prompts = int(row.get("prompts", 0))
    return Record(
        suite=str(row.get("suite", header.get("suite", ""))), method=str(row["method"]),
        scope=str(row.get("scope", "")), budget=str(row.get("budget", "")),
        set=str(row["set"]), case=str(row["case"]), patient=str(row["patient"]), task=str(row["task"]),
        prompts=prompts, shown=int(row.get("shown", prompts)), seed=int(row.get("seed", 0)),
        metric=known[name], region=str(row.get("region", "whole")), range=str(row.get("range", "")),
        value=float(row["value"]), steps=int(row.get("steps", 0)),
        seconds=float(row["seconds"]) if "seconds" in row else None, unseen=bool(row.get("unseen", False)),
        x=None if row.get("x") is None else float(row["x"]),
        series=str(row.get("series", row.get("baseline", row["method"]))),
    )  # fmt: skip
