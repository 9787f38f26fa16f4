"""Reads committed result files for docs/results/pays.md, and averages them into curves."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mvg.benchmark.statistics import interval
from profiling.cost_page import groups
from profiling.pays.plots import Curve

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
MEASURED = ROOT / "profiling" / "results"

Rows = Sequence[Mapping[str, Any]]


def measured(name: str) -> dict[str, Any]:
    """The content of a file in `profiling/results`."""
    content: dict[str, Any] = json.loads((MEASURED / name).read_text(encoding="utf-8"))
    return content


def suite_rows(folder: str, metric: str, region: str = "whole") -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The header of a suite's results, and its rows of one metric and region."""
    lines = (RESULTS / folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines[1:]]
    header: dict[str, Any] = json.loads(lines[0])["header"]
    return header, [row for row in rows if (row["metric"], row["region"]) == (metric, region)]


def curve(title: str, rows: Rows, axis: str, with_sets: bool = True) -> Curve:
    """Means over sets against a key of the rows; faint curves of single sets."""
    xs = sorted({row[axis] for row in rows})
    points = {x: interval(groups(rows_of(rows, axis, x), "value")) for x in xs}
    names = dict.fromkeys(row["set"] for row in rows) if with_sets else ()
    parts = [
        {x: interval(groups(part, "value")).mean for x in xs if (part := rows_of(rows_of(rows, "set", name), axis, x))}
        for name in names
    ]
    return Curve(title, points, parts)


def rows_of(rows: Rows, key: str, value: Any) -> Rows:
    """The rows whose key has the value."""
    return [row for row in rows if row[key] == value]
