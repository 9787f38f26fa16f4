"""Reads committed result files, for the programs that write pages from them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mvg.benchmark.statistics import Group, Interval

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
MEASURED = ROOT / "profiling" / "results"


def measured(name: str) -> dict[str, Any]:
    """The content of a file in `profiling/results`."""
    content: dict[str, Any] = json.loads((MEASURED / name).read_text(encoding="utf-8"))
    return content


def suite_lines(folder: str, file: str = "results.jsonl") -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The header of a suite's results in `docs/results`, and its rows."""
    first, *rest = (RESULTS / folder / file).read_text(encoding="utf-8").splitlines()
    header: dict[str, Any] = json.loads(first)["header"]
    return header, [json.loads(line) for line in rest]


def groups(rows: Sequence[Mapping[str, Any]], figure: str) -> list[Group]:
    """One figure of each case, by set."""
    return [
        Group(name, {(row["patient"], row["case"]): row[figure] for row in rows if row["set"] == name})
        for name in dict.fromkeys(row["set"] for row in rows)
    ]


def in_words(value: Interval, form: str = ".3f") -> str:
    """A mean with its interval; form: of each number."""
    return f"{value.mean:{form}} ({value.low:{form}} to {value.high:{form}})"
