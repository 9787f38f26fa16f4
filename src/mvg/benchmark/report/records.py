"""Reads result files: a header of provenance, then one record per case, method, metric and region."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvg._plugins import contributions
from mvg.benchmark import metrics
from mvg.benchmark.protocol.metric import Metric
from mvg.errors import FileError, UnknownNameError

_REQUIRED = ("method", "set", "case", "patient", "task", "metric", "value")
_OLD_KEYS = {"shown": "prompts_used", "baseline": "rival"}
"""Keys of files that were written before, and what they are called now."""


@dataclass(frozen=True)
class Record:
    """One figure of one case.

    prompts: as the suite asks, 0 for methods that use none; prompts_used: fewer where the set has fewer. seconds: the
    time of the prediction, None if unknown. unseen: nothing was learned from the set. x: the place on the axis of a
    curve, None if it belongs to none; series: the name of the curve.
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
    prompts_used: int
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
        """The kind of the task: "segmentation" of "segmentation:MRI"."""
        return self.task.split(":", 1)[0]


@dataclass(frozen=True)
class Results:
    """The content of result files. headers: one per file; folder: where the files lie."""

    headers: tuple[dict[str, Any], ...]
    records: tuple[Record, ...]
    folder: Path

    @property
    def axis(self) -> str:
        """What x counts."""
        return next((str(header["axis"]) for header in self.headers if header.get("axis")), "x")


def read_results(path: Path) -> Results:
    """Read a result file (JSON lines), or all `*.jsonl` of a folder together.

    Raises FileError if there is no file or one cannot be read, and UnknownNameError for an unknown metric.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise FileError(f"no result files in '{path}'", "files called *.jsonl", "name a folder that has some")
    known = {module.METRIC.name: module.METRIC for module in contributions(metrics).values()}
    headers, records = [], []
    for file in files:
        header, rows = _parse(file)
        headers.append(header)
        records += [_record(_checked(row, file), header, known) for row in rows]
    return Results(tuple(headers), tuple(records), files[0].parent)


def _parse(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return dict(rows[0]["header"]), rows[1:]
    except OSError as error:
        raise FileError(f"cannot read '{path}': {error.strerror}", "a result file", "check the path") from error
    except (ValueError, LookupError, TypeError) as error:
        raise FileError(
            f"'{path}' is not a result file ({error})", "JSON lines, the first one a header", "run the suite again"
        ) from error


def _checked(row: dict[str, Any], path: Path) -> dict[str, Any]:
    """The row with today's keys; FileError where a required one is missing."""
    missing = [key for key in _REQUIRED if key not in row]
    if missing:
        raise FileError(f"a line of '{path}' lacks {', '.join(missing)}", "all of them", "run the suite again")
    return {_OLD_KEYS.get(key, key): value for key, value in row.items()}


def _record(row: dict[str, Any], header: dict[str, Any], known: Mapping[str, Metric]) -> Record:
    metric, prompts, x = str(row["metric"]), int(row.get("prompts", 0)), row.get("x")
    if metric not in known:
        raise UnknownNameError("metric", metric, known)
    return Record(
        suite=str(row.get("suite", header.get("suite", ""))), method=str(row["method"]),
        scope=str(row.get("scope", "")), budget=str(row.get("budget", "")),
        set=str(row["set"]), case=str(row["case"]), patient=str(row["patient"]), task=str(row["task"]),
        prompts=prompts, prompts_used=int(row.get("prompts_used", prompts)), seed=int(row.get("seed", 0)),
        metric=known[metric], region=str(row.get("region", "whole")), range=str(row.get("range", "")),
        value=float(row["value"]), steps=int(row.get("steps", 0)),
        seconds=float(row["seconds"]) if "seconds" in row else None, unseen=bool(row.get("unseen", False)),
        x=None if x is None else float(x), series=str(row.get("series", row.get("rival", row["method"]))),
    )  # fmt: skip
