"""Reads committed result files for docs/results/pays.md, and averages them into curves."""

from collections.abc import Mapping, Sequence
from typing import Any

from mvg.benchmark.statistics import interval
from profiling.committed import groups, suite_lines
from profiling.pays.plots import Curve

Rows = Sequence[Mapping[str, Any]]


def suite_rows(
    folder: str, metric: str, region: str = "whole", file: str = "results.jsonl"
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The header of a suite's results, and its rows of one metric and region."""
    header, rows = suite_lines(folder, file)
    return header, [row for row in rows if (row["metric"], row["region"]) == (metric, region)]


def curve(title: str, rows: Rows, axis: str, with_sets: bool = True) -> Curve:
    """Means over sets against a key of the rows, where all sets have some; faint curves of single sets."""
    xs, every = sorted({row[axis] for row in rows}), sets_of(rows)
    at = {x: rows_of(rows, axis, x) for x in xs}
    points = {x: interval(groups(part, "value")) for x, part in at.items() if set(sets_of(part)) == set(every)}
    names = every if with_sets else ()
    parts = [
        {x: interval(groups(of_set, "value")).mean for x, part in at.items() if (of_set := rows_of(part, "set", name))}
        for name in names
    ]
    return Curve(title, points, parts)


def sets_of(rows: Rows) -> list[str]:
    """The sets of the rows, in their order."""
    return list(dict.fromkeys(row["set"] for row in rows))


def rows_of(rows: Rows, key: str, value: Any) -> Rows:
    """The rows whose key has the value."""
    return [row for row in rows if row[key] == value]
