"""The report page: one self-contained HTML file with tables, charts and pictures, for a phone, a screen and paper."""

import base64
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mvg.benchmark.report import calibration
from mvg.benchmark.report.charts import chart
from mvg.benchmark.report.records import Record, Results
from mvg.benchmark.report.table import Cell, Column, Table

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class MethodSummary:
    """What a method may learn from, how long it trained, and how long a prediction takes; texts of a table row."""

    name: str
    scope: str
    budget: str
    seeds: str
    steps: str
    seconds: str


@dataclass(frozen=True)
class Differences:
    """How far the other columns lie behind the best one of the summary row. title: best column and row."""

    title: str
    rows: tuple[tuple[Column, Cell], ...]


@dataclass(frozen=True)
class Picture:
    """An embedded contact sheet."""

    name: str
    data: str


def render_page(results: Results, tables: Sequence[Table]) -> str:
    """The whole page; it refers to no other file and no address."""
    titles = dict.fromkeys(str(header.get("title") or header.get("suite") or "Results") for header in results.headers)
    return template("report.html").render(
        title="; ".join(titles),
        headers=[(_origin(header), header) for header in results.headers],
        methods=_methods(results),
        sections=[(table, chart(table), _differences(table)) for table in tables],
        calibration=calibration,
        agreements=calibration.agreements(results),
        pictures=_pictures(results.folder),
    )


def template(name: str) -> "Template":
    """A page's template, of the folder `templates`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(name)


def _origin(header: dict[str, Any]) -> str:
    """One line about where results come from."""
    named = (("commit", "commit "), ("seeds", "seeds "), ("date", ""))
    return ", ".join(f"{name}{header[key]}" for key, name in named if header.get(key)) or "where this comes from"


def _methods(results: Results) -> list[MethodSummary]:
    by_method: dict[str, list[Record]] = defaultdict(list)
    for record in results.records:
        by_method[record.method].append(record)
    return [_method_summary(name, records) for name, records in by_method.items()]


def _method_summary(name: str, records: Sequence[Record]) -> MethodSummary:
    is_trained = records[0].scope != "untrained"
    steps = sorted({record.steps for record in records if record.steps})
    seconds = [record.seconds for record in records if record.seconds is not None]
    return MethodSummary(
        name=name,
        scope=", ".join(sorted({record.scope for record in records})),
        budget=", ".join(sorted({record.budget for record in records})) if is_trained else "",
        seeds=str(len({record.seed for record in records})) if is_trained else "",
        steps=" to ".join(dict.fromkeys(map(str, (steps[0], steps[-1])))) if steps else "",
        seconds=f"{np.median(seconds):.2g} s" if seconds else "",
    )


def _differences(table: Table) -> Differences | None:
    """The comparisons of the summary row; None where no column, or more than one, is the best."""
    row = table.summary_row
    cells = [(column, cell) for column, cell in zip(table.columns, row.cells, strict=True) if cell]
    behind = tuple((column, cell) for column, cell in cells if cell.comparison)
    best = [column for column, cell in cells if not cell.comparison]
    if not behind or len(best) != 1:
        return None
    position = f"{table.axis} {row.title}".strip()
    return Differences(f"{best[0].title} minus each other column ({position})", behind)


def _pictures(folder: Path) -> list[Picture]:
    """The contact sheets in `pictures/` beside the results."""
    return [
        Picture(path.stem, base64.b64encode(path.read_bytes()).decode())
        for path in sorted((folder / "pictures").glob("*.png"))
    ]
