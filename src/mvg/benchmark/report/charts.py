"""Charts of result tables as inline SVG: means with intervals, and curves. Drawn by matplotlib without a display."""

import html
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvg.benchmark.report.table import Cell, Column, Row, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERIES_COLORS = ("#1f83c6", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f", "#8a6d00")
SCOPE_COLORS = {"generalist": "#1f83c6", "specialist": "#d55e00", "untrained": "#7f7f7f"}
_LINE_STYLES = ("-", "--", ":", "-.")
_INK, _GRID = "#010203", "#040506"  # replaced in the SVG by the page's own colors, which follow light and dark
_PAGE_COLORS = {_INK: "currentColor", _GRID: "var(--line)"}
_FILE_COLORS = {_INK: "#222222", _GRID: "#dddddd"}
_NAMESPACES = re.compile(r' xmlns(:\w+)?="[^"]*"')  # HTML knows SVG without them
_WIDTH, _ROW, _FOOT = 5.0, 0.52, 0.42  # inches
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9.0,
    "text.parse_math": False, "text.color": _INK, "axes.edgecolor": _GRID, "axes.labelcolor": _INK,
    "xtick.color": _GRID, "ytick.color": _GRID, "xtick.labelcolor": _INK, "ytick.labelcolor": _INK, "grid.color": _GRID,
    "axes.grid": True, "axes.spines.top": False, "axes.spines.right": False,
}  # fmt: skip


@dataclass(frozen=True)
class Chart:
    """An inline SVG with its legend: colors and what they stand for."""

    svg: str
    legend: tuple[tuple[str, str], ...]
    note: str


def chart(table: Table) -> Chart:
    """The chart of a table: curves where rows are places on an axis, else one line per method."""
    return _curve_chart(table) if table.axis else _interval_chart(table)


def _interval_chart(table: Table) -> Chart:
    """One line per method: the mean with its interval, and faint dots for single sets."""
    with figure_of(_ROW * len(table.columns) + _FOOT) as (figure, axes):
        axes.grid(axis="y", visible=False)
        axes.set_yticks([])
        axes.set_ylim(len(table.columns) - 0.4, -0.75)
        axes.spines["left"].set_visible(False)
        for line, column in enumerate(table.columns):
            _method_line(axes, table, line, column)
        svg = svg_of(figure, f"{table.title}: the mean of every method")
    scopes = {column.scope for column in table.columns}
    legend = tuple((color, scope) for scope, color in SCOPE_COLORS.items() if scope in scopes)
    note = "Large: the mean with its interval; small: the rows of the table." if len(table.rows) > 1 else ""
    return Chart(svg, legend, note)


def _method_line(axes: "Axes", table: Table, line: int, column: Column) -> None:
    color = SCOPE_COLORS.get(column.scope, SERIES_COLORS[0])
    summary = next((row for row in table.rows if row.is_mean), table.rows[0] if len(table.rows) == 1 else None)
    places = [row.cells[line] for row in table.rows if not row.is_mean and row is not summary]
    values = [cell.interval.mean for cell in places if cell and np.isfinite(cell.interval.mean)]
    axes.plot(values, [line + 0.18] * len(values), "o", markersize=4, color=color, alpha=0.4, markeredgewidth=0)
    sides: dict[str, Any] = {"y": line - 0.22, "transform": axes.get_yaxis_transform(), "va": "bottom"}
    axes.text(0.0, s=column.title, ha="left", **sides)
    cell = summary.cells[line] if summary else None
    if cell and np.isfinite(cell.interval.mean):
        axes.text(1.0, s=table.format(cell.interval.mean), ha="right", weight="bold", **sides)
        axes.errorbar([cell.interval.mean], [line], xerr=_spans([cell]), fmt="o", color=color, elinewidth=2)


def _curve_chart(table: Table) -> Chart:
    """Value against x, one line per method; x is logarithmic where it spans a decade."""
    xs = [row.x for row in table.rows if row.x is not None]
    is_logarithmic = min(xs) > 0 and max(xs) / min(xs) >= 10
    with figure_of(3.4) as (figure, axes):
        if is_logarithmic:
            axes.set_xscale("log")
        axes.set_xlabel(table.axis + (" (log scale)" if is_logarithmic else ""))
        ticks = _ticks(xs, np.log10(xs) if is_logarithmic else np.asarray(xs))
        axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
        axes.minorticks_off()
        for at in range(len(table.columns)):
            _curve(axes, table.rows, at)
        svg = svg_of(figure, f"{table.title}: a curve for every method")
    colors = (SERIES_COLORS[at % len(SERIES_COLORS)] for at in range(len(table.columns)))
    legend = tuple((color, column.title) for color, column in zip(colors, table.columns, strict=True))
    return Chart(svg, legend, "Means over all sets with their intervals.")


def _curve(axes: "Axes", rows: Sequence[Row], at: int) -> None:
    color = SERIES_COLORS[at % len(SERIES_COLORS)]
    style = _LINE_STYLES[at // len(SERIES_COLORS) % len(_LINE_STYLES)]
    points = [(row.x, row.cells[at]) for row in rows]
    drawn = [(x, cell) for x, cell in points if x is not None and cell and np.isfinite(cell.interval.mean)]
    if drawn:
        xs, cells = zip(*drawn, strict=True)
        means = [cell.interval.mean for cell in cells]
        bars: dict[str, Any] = {"yerr": _spans(cells), "ecolor": (color, 0.5), "elinewidth": 1.2}
        axes.errorbar(xs, means, color=color, marker="o", markersize=4.5, linestyle=style, **bars)


def _ticks(xs: Sequence[float], places: NDArray[np.float64]) -> list[float]:
    """Those of xs whose labels do not touch: their places on the axis are at least a twelfth of it apart."""
    gap, kept = float(np.ptp(places)) / 12, [0]
    for at in range(1, len(xs)):
        if places[at] - places[kept[-1]] >= gap:
            kept.append(at)
    return [xs[at] for at in kept]


def _spans(cells: Sequence[Cell]) -> tuple[list[float], list[float]]:
    """How far the intervals reach below and above their means."""
    below = [cell.interval.mean - cell.interval.low for cell in cells]
    return below, [cell.interval.high - cell.interval.mean for cell in cells]


@contextmanager
def figure_of(height: float) -> Iterator[tuple["Figure", "Axes"]]:
    """A figure with one pair of axes in the reports' style; it needs no display and no global state."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        yield figure, figure.subplots()


def svg_of(figure: "Figure", label: str) -> str:
    """The figure as an element for a page, with the page's colors; label: for readers who do not see it."""
    return _NAMESPACES.sub("", _svg(figure, label, _PAGE_COLORS, transparent=True))


def svg_file_of(figure: "Figure", label: str) -> str:
    """The content of an SVG file with the figure on white, for pages of any color; label: as in `svg_of`."""
    figure.patch.set_facecolor("white")
    return _svg(figure, label, _FILE_COLORS, transparent=False)


def _svg(figure: "Figure", label: str, colors: dict[str, str], *, transparent: bool) -> str:
    """The figure as an element, with these colors for the placeholders."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.hashsalt": label}):  # ids of clips and markers: stable, and other for every chart of a page
        figure.savefig(buffer, format="svg", transparent=transparent, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg ") :]
    for placeholder, color in colors.items():
        text = text.replace(placeholder, color)
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)
