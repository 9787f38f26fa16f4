"""Writes reports: a self-contained page, or the tables alone as Markdown."""

from collections.abc import Iterable
from pathlib import Path

from mvg._atomic import atomic_file, unwritable
from mvg.benchmark.report import calibration
from mvg.benchmark.report.html import render_page
from mvg.benchmark.report.records import Results, read_results
from mvg.benchmark.report.table import Cell, Row, Table
from mvg.benchmark.report.tables import tables
from mvg.errors import FileError

_HEADER_KEYS = ("command", "commit", "seeds", "budget", "date")


def write_report(results: Path, page: Path) -> None:
    """Write one self-contained HTML page of a result file, or of all `*.jsonl` in a folder; whole or not at all.

    Contact sheets in the folder `pictures/` beside the results are embedded. Raises FileError if the results cannot be
    read or are empty, or if the page cannot be written, and UnknownNameError for an unknown metric.
    """
    read = _non_empty(results)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(page) as temporary:
            temporary.write_text(render_page(read, tables(read)), encoding="utf-8")
    except OSError as error:
        raise unwritable(page, error) from error


def tables_markdown(results: Path) -> str:
    """The tables of a result file, or of a folder of them, as Markdown; raises as `write_report` does."""
    read = _non_empty(results)
    parts = []
    for header in read.headers:
        facts = "; ".join(f"{key} `{header[key]}`" for key in _HEADER_KEYS if header.get(key))
        parts.append(f"**{header.get('title') or header.get('suite') or 'Results'}**: {facts}.")
    for table in tables(read):
        headings = [table.axis or "set", "cases (patients)", *(column.title for column in table.columns)]
        parts += [f"### {table.title}", _grid(headings, (_texts(row, table) for row in table.rows)), table.caption]
    if agreements := calibration.agreements(read):
        parts += [f"### {calibration.TITLE}", _grid(calibration.HEADINGS, (one.texts for one in agreements))]
    return "\n\n".join(parts) + "\n"


def _non_empty(path: Path) -> Results:
    results = read_results(path)
    if not results.records:
        raise FileError(f"'{path}' holds no figures", "lines below the header", "let the run end first")
    return results


def _grid(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = [heading.replace("|", "\\|") for heading in headings]
    body = [[text.replace("|", "\\|") for text in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])


def _texts(row: Row, table: Table) -> list[str]:
    title = f"**{row.title}**" if row.is_mean else row.title
    return [title, f"{row.cases} ({row.patients})", *(_text(cell, row, table) for cell in row.cells)]


def _text(cell: Cell | None, row: Row, table: Table) -> str:
    if cell is None:
        return ""
    mean = f"**{table.format(cell.interval.mean)}**" if cell.best else table.format(cell.interval.mean)
    fewer = f", {cell.cases} cases" if cell.cases < row.cases else ""
    return f"{mean} ({table.format(cell.interval.low)} to {table.format(cell.interval.high)}{fewer})"
