"""What came out, for people: a page of tables, drawings and pictures, or the tables alone as Markdown."""

from pathlib import Path

from mvg._atomic import atomic_file
from mvg.benchmark.report.calibration import ESTIMATES, agreements, rows_of
from mvg.benchmark.report.html import page_of
from mvg.benchmark.report.records import Results, read_results
from mvg.benchmark.report.tables import Cell, Row, Table, tables
from mvg.errors import FileError


def write_report(results: Path, page: Path) -> None:
    """Write one self-contained HTML page of a result file, or of all `*.jsonl` in a folder; whole or not at all.

    Sheets in the folder `pictures/` beside the results are put into it. Raises FileError where the results cannot be
    read, hold nothing, or the page cannot be written, and UnknownNameError for a metric that is not ours.
    """
    found = _with_lines(results)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(page) as temporary:
            temporary.write_text(page_of(found, tables(found)), encoding="utf-8")
    except OSError as problem:
        raise FileError(
            f"'{page}' could not be written ({problem.strerror})", "a writable folder with space left", "choose another"
        ) from problem


def tables_markdown(results: Path) -> str:
    """The tables of a result file, or of a folder of them, as Markdown; raises as `write_report` does."""
    found = _with_lines(results)
    parts = []
    for header in found.headers:
        told = {key: header[key] for key in ("command", "commit", "seeds", "budget", "date") if header.get(key)}
        parts.append(f"**{header.get('title') or header.get('suite') or 'Results'}**: " + _told(told))
    for table in tables(found):
        head = [table.axis or "set", "cases (patients)", *(column.title for column in table.columns)]
        rows = [head, ["---"] * len(head), *(_row(row, table) for row in table.rows)]
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        parts += [f"### {table.title}", "\n".join(lines), table.caption]
    if rows := rows_of(agreements(found)):
        rows.insert(1, ["---"] * len(rows[0]))
        parts += [f"### {ESTIMATES}", "\n".join("| " + " | ".join(row) + " |" for row in rows)]
    return "\n\n".join(parts) + "\n"


def _with_lines(path: Path) -> Results:
    found = read_results(path)
    if not found.lines:
        raise FileError(f"'{path}' holds no figures", "lines below the header", "let the run end first")
    return found


def _told(header: dict[str, object]) -> str:
    return "; ".join(f"{key} `{value}`" for key, value in header.items()) + "."


def _row(row: Row, table: Table) -> list[str]:
    title = f"**{row.title}**" if row.mean else row.title
    return [title, f"{row.cases} ({row.patients})", *(_cell(cell, row, table) for cell in row.cells)]


def _cell(cell: Cell | None, row: Row, table: Table) -> str:
    if cell is None:
        return ""
    mean = f"**{table.said(cell.said.mean)}**" if cell.best else table.said(cell.said.mean)
    fewer = f", {cell.cases} cases" if cell.cases < row.cases else ""
    return f"{mean} ({table.said(cell.said.low)} to {table.said(cell.said.high)}{fewer})"
