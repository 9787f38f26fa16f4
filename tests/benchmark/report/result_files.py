"""Small result files for the tests of reports."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mvg.benchmark.report.records import read_results
from mvg.benchmark.report.table import Table
from mvg.benchmark.report.tables import tables

HEADER = {"suite": "synthetic", "title": "Made <up>", "commit": "abc", "axis": "share of data"}
LABEL_METRICS = ("IoU", "HD95", "Dice", "quality estimate")
Lines = list[dict[str, Any]]


def result_lines(
    method: str, values: Sequence[float], name: str = "heads", prompts: int = 0, metric: str = "IoU"
) -> Lines:
    """One line per value; each is of a case of its own patient."""
    task = "segmentation:MRI" if metric in LABEL_METRICS else "inpainting:T1"
    shared = {
        "method": method, "rival": method, "set": name, "task": task, "prompts": prompts, "prompts_used": prompts,
        "scope": "generalist", "metric": metric, "region": "whole",
    }  # fmt: skip
    return [
        {**shared, "case": f"c{number}", "patient": f"p{number}", "value": float(value)}
        for number, value in enumerate(values)
    ]


def write_results(folder: Path, *parts: Lines) -> Path:
    path = folder / "results.jsonl"
    rows = [{"header": HEADER}, *(line for part in parts for line in part)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tables_of(folder: Path, *parts: Lines) -> list[Table]:
    return tables(read_results(write_results(folder, *parts)))
