"""The result page: one HTML file with its tables, drawings and pictures, for a phone, a screen and paper."""

import base64
import html
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mvg.benchmark.report.calibration import ESTIMATES, agreements, rows_of
from mvg.benchmark.report.charts import COLORS, curves, dots, scopes
from mvg.benchmark.report.records import Results
from mvg.benchmark.report.tables import Cell, Row, Table

_STYLE = """
:root { --ink: #1c2733; --soft: #5b6b7a; --line: #dde4ea; --paper: #f5f7f9; --good: #0d7a5f; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 2rem 1rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.2rem; margin: 0 0 .6rem; }
p { margin: .35rem 0 .9rem; max-width: 80ch; }
section { background: #fff; border: 1px solid var(--line); border-radius: 12px; padding: 1.1rem 1.2rem;
  margin: 1.2rem 0; }
nav a { display: inline-block; margin: 0 1rem .3rem 0; }
a { color: #0b5f93; }
.soft, summary, footer { color: var(--soft); font-size: .86rem; }
.wide { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; }
thead th { vertical-align: bottom; min-width: 6.2rem; max-width: 11rem; }
th:first-child { text-align: left; position: sticky; left: 0; background: #fff; min-width: 6rem; max-width: 12rem;
  overflow-wrap: break-word; }
td.text { text-align: left; }
td small, th small { display: block; color: var(--soft); font-weight: 400; white-space: nowrap; font-size: .8em; }
td b { color: var(--good); }
tr.mean th, tr.mean td { border-top: 2px solid var(--soft); background: #f4f8f6; }
figure { margin: .4rem 0 1rem; max-width: 480px; }
svg { width: 100%; height: auto; display: block; font: 13px system-ui, sans-serif; }
svg .grid { stroke: #e6ebef; }
svg .tick { fill: #5b6b7a; font-size: 11px; }
svg .name { fill: #1c2733; }
svg .value { fill: #1c2733; font-weight: 600; }
figcaption { font-size: .82rem; color: var(--soft); }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin: 0 .35em 0 .9em; }
.key:first-child { margin-left: 0; }
img { max-width: 100%; height: auto; background: #000; border-radius: 8px; display: block; }
code { overflow-wrap: anywhere; font-size: .85em; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .86rem; margin: .5rem 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 600px) {
  section { padding: .9rem .8rem; border-radius: 8px; }
  th, td { padding: .3rem .45rem; }
  thead th { min-width: 5.4rem; }
  th:first-child { max-width: 7rem; }
}
@page { size: A4 landscape; margin: 12mm; }
@media print {
  body { background: #fff; font-size: 10pt; }
  main { max-width: none; padding: 0; }
  section { border: 0; padding: 0; break-inside: avoid; }
  .wide { overflow: visible; }
  table { font-size: 7pt; }
  th, td { padding: .15rem .3rem; }
  thead th, th:first-child { min-width: 0; position: static; }
  td small, th small { white-space: normal; }
  figure { max-width: 10cm; }
  nav { display: none; }
}
"""


def page_of(results: Results, found: Sequence[Table]) -> str:
    """The whole page, self-contained."""
    titles = dict.fromkeys(str(header.get("title") or header.get("suite") or "Results") for header in results.headers)
    title = html.escape("; ".join(titles))
    links = "".join(f'<a href="#t{at}">{html.escape(table.title)}</a> ' for at, table in enumerate(found))
    sections = "".join(_section(table, at) for at, table in enumerate(found))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{_STYLE}</style></head><body><main>
<h1>{title}</h1>
{"".join(map(_provenance, results.headers))}
<nav>{links}</nav>
{_methods(results)}
{sections}
{_estimates(results)}
{_pictures(results.folder)}
<footer><p>Research use only; not a medical device.</p></footer>
</main></body></html>
"""


def _provenance(header: dict[str, Any]) -> str:
    first = ", ".join(
        f"{name} {header[key]}"
        for key, name in (("commit", "commit"), ("seeds", "seeds"), ("date", ""))
        if header.get(key)
    )
    rows = "".join(f"<dt>{html.escape(str(k))}</dt><dd>{html.escape(str(v))}</dd>" for k, v in header.items())
    return f"<details><summary>{html.escape(first or 'where this comes from')}</summary><dl>{rows}</dl></details>"


def _methods(results: Results) -> str:
    """What every method may learn from, how long it did, and how long it takes."""
    lines: dict[str, list[Any]] = defaultdict(list)
    for line in results.lines:
        lines[line.method].append(line)
    rows = ""
    for name, own in lines.items():
        trained = own[0].scope != "untrained"
        steps = sorted({line.steps for line in own if line.steps})
        seconds = [line.seconds for line in own if line.seconds is not None]
        cells = [
            ", ".join(sorted({line.scope for line in own})),
            ", ".join(sorted({line.budget for line in own})) if trained else "",
            f"{len({line.seed for line in own})}" if trained else "",
            "" if not steps else f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}",
            f"{np.median(seconds):.2g} s" if seconds else "",
        ]
        rows += f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
    names = ("method", "scope", "budget to learn", "seeds", "steps", "median time per query")
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"""<section><h2>Methods</h2><div class="wide"><table><thead><tr>{head}</tr></thead>{rows}</table></div>
<p class="soft">untrained: learns nothing here; specialist: learns one task of one set; generalist: learns all at
once. Times are of this machine, loaded as it was.</p></section>"""


def _section(table: Table, at: int) -> str:
    if table.axis:
        drawing = curves(table)
        keys = [(COLORS[n % len(COLORS)], column.title) for n, column in enumerate(table.columns)]
        words = "Means over all sets with their intervals."
    else:
        drawing, keys = dots(table), scopes(table)
        words = "Large: the mean with its interval; small: the rows of the table." if len(table.rows) > 1 else ""
    key = "".join(f'<span class="key" style="background: {c}"></span>{html.escape(text)}' for c, text in keys)
    head = "".join(f"<th>{html.escape(column.title)}<small>{column.scope}</small></th>" for column in table.columns)
    rows = "".join(_table_row(row, table) for row in table.rows)
    return f"""<section id="t{at}"><h2>{html.escape(table.title)}</h2>
<figure>{drawing}<figcaption>{key}<br>{words}</figcaption></figure>
<div class="wide"><table><thead><tr><th>{html.escape(table.axis or "set")}</th><th>cases<small>patients</small></th>
{head}</tr></thead>{rows}</table></div>
<p class="soft">{html.escape(table.caption)}</p>{_differences(table)}</section>
"""


def _table_row(row: Row, table: Table) -> str:
    cells = "".join(_cell(cell, row, table) for cell in row.cells)
    style = ' class="mean"' if row.mean else ""
    return f"<tr{style}><th>{html.escape(row.title)}</th><td>{row.cases}<small>{row.patients}</small></td>{cells}</tr>"


def _cell(cell: Cell | None, row: Row, table: Table) -> str:
    if cell is None:
        return "<td>–</td>"
    mean = f"<b>{table.said(cell.said.mean)}</b>" if cell.best else table.said(cell.said.mean)
    fewer = f"<small>{cell.cases} cases</small>" if cell.cases < row.cases else ""
    return f"<td>{mean}<small>{table.said(cell.said.low)} to {table.said(cell.said.high)}</small>{fewer}</td>"


def _differences(table: Table) -> str:
    """How far the others lie behind the best of the mean row, or of the last one."""
    row = next((row for row in table.rows if row.mean), table.rows[-1])
    behind = [(c, cell) for c, cell in zip(table.columns, row.cells, strict=True) if cell and cell.behind]
    best = [c for c, cell in zip(table.columns, row.cells, strict=True) if cell and not cell.behind]
    if not behind or len(best) != 1:
        return ""
    rows = ""
    for column, cell in behind:
        assert cell.behind is not None
        assert cell.p is not None
        gap = cell.behind.difference
        mean, low, high = (f"{value:+.{table.digits}f}" for value in (gap.mean, gap.low, gap.high))
        rows += (
            f"<tr><th>{html.escape(column.title)}</th><td>{mean}<small>{low} to {high}</small></td>"
            f"<td>{cell.p:.2g}</td><td>{cell.behind.cases}</td></tr>"
        )
    place = f"{table.axis} {row.title}".strip()
    title = html.escape(f"{best[0].title} less each other column ({place})")
    return f"""<details><summary>{title}</summary>
<div class="wide"><table><thead><tr><th>less</th><th>difference</th><th>p (Holm)</th><th>shared cases</th></tr></thead>
{rows}</table></div></details>"""


def _estimates(results: Results) -> str:
    """How methods' own estimates agree with Dice, where there are any."""
    told = rows_of(agreements(results))
    if not told:
        return ""
    head, *rows = (
        "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"
        for tag, row in zip(("th", *("td" for _ in told[1:])), told, strict=True)
    )
    return f"""<section><h2>{ESTIMATES}</h2><div class="wide"><table><thead>{head}</thead>{"".join(rows)}</table></div>
<p class="soft">Over cases of all sets; intervals by patient. Estimates are made without the truth.</p></section>"""


def _pictures(folder: Path) -> str:
    """The sheets in `pictures/` beside the results."""
    found = sorted((folder / "pictures").glob("*.png"))
    parts = []
    for path in found:
        data = base64.b64encode(path.read_bytes()).decode()
        name = html.escape(path.stem)
        parts.append(f'<h2>{name}</h2><p><img alt="{name}" src="data:image/png;base64,{data}"></p>')
    return f'<section id="pictures">{"".join(parts)}</section>' if parts else ""
