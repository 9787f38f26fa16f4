"""Writes an evaluation: results.csv, summary.csv and report.html."""

import csv
import io
from collections.abc import Iterable, Iterator
from functools import partial
from math import isnan
from pathlib import Path

from mvg._atomic import atomic_file, unwritable
from mvg.benchmark.evaluation.evaluate import Evaluation
from mvg.benchmark.evaluation.page import render_evaluation
from mvg.benchmark.evaluation.scores import PartScores
from mvg.benchmark.report.libraries import check_libraries
from mvg.benchmark.statistics import Interval

_Cells = Iterable[object]


def write_evaluation(evaluation: Evaluation, folder: Path) -> tuple[Path, ...]:
    """Write results.csv (a row per case and label or region), summary.csv (means with intervals) and report.html.

    Returns the three files. Raises FileError where they cannot be written, BenchmarkError without the libraries of
    pages.
    """
    check_libraries()
    contents = {
        "results.csv": _table(_results(evaluation)),
        "summary.csv": _table(_summary(evaluation)),
        "report.html": render_evaluation(evaluation),
    }
    paths = tuple(folder / name for name in contents)
    for path, text in zip(paths, contents.values(), strict=True):
        with atomic_file(path, partial(unwritable, path)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return paths


def _results(evaluation: Evaluation) -> Iterator[_Cells]:
    """A case without any label has one row with an empty label and the best figures."""
    yield "case", "patient", _part_heading(evaluation), "name", *(one.key for one in evaluation.quantities)
    for case in sorted(evaluation.cases, key=lambda case: case.name):
        for one in case.scores.parts or (PartScores("", case.scores.overall),):
            name = "" if one.part == "" else evaluation.name_of(one.part)
            yield case.name, case.patient, one.part, name, *map(_number, one.figures)


def _summary(evaluation: Evaluation) -> Iterator[_Cells]:
    keys = [f"{one.key}{end}" for one in evaluation.quantities for end in ("", "_low", "_high")]
    yield _part_heading(evaluation), "name", "cases", "missing", "extra", *keys
    for row in evaluation.summaries:
        ends = [number for one in row.intervals for number in _ends(one)]
        yield row.part, evaluation.name_of(row.part), row.cases, row.missing, row.extra, *ends


def _part_heading(evaluation: Evaluation) -> str:
    return "label" if evaluation.target_type == "labels" else "region"


def _ends(one: Interval | None) -> tuple[str, ...]:
    return ("", "", "") if one is None else tuple(map(_number, (one.mean, one.low, one.high)))


def _number(value: float) -> str:
    return "" if isnan(value) else f"{value:.6g}"


def _table(rows: Iterable[_Cells]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
