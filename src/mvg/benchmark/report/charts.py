"""Tables as drawings: dots with their intervals, and curves; inline SVG that needs nothing else."""

import html
from collections.abc import Sequence

import numpy as np

from mvg.benchmark.report.tables import Cell, Table

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555", "#8a6d00")
_SCOPES = {"generalist": "#0072b2", "specialist": "#d55e00", "untrained": "#777777"}
_DASHES = ("", "7 3", "2 3", "9 3 2 3")
_Number = float | int  # whole numbers are named because run-time type checks take `float` at its word
_WIDTH, _LINE, _LEFT, _RIGHT = 360, 42, 6, 354
_HEIGHT, _MARGIN, _FOOT = 250, 48, 42  # of curves


def dots(table: Table) -> str:
    """One line per method: its mean with the interval, and faint dots for single sets."""
    shown = [row for row in table.rows if row.mean][:1] or list(table.rows[:1] if len(table.rows) == 1 else ())
    cells = [cell for row in table.rows for cell in row.cells if cell]
    edges = [edge for cell in cells for edge in (cell.said.mean, cell.said.low, cell.said.high)]
    ticks = _ticks(edges)
    low, high = ticks[0], ticks[-1]
    height = _LINE * len(table.columns) + 32
    parts = []
    for tick in ticks:
        x = _place(tick, low, high, _LEFT + 6, _RIGHT - 6)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 22}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 6}" text-anchor="middle">{tick:g}</text>')
    for at, column in enumerate(table.columns):
        middle = at * _LINE + 28
        mine = [row.cells[at] for row in shown]
        bold = mine[0] if mine else None
        parts.append(f'<text class="name" x="{_LEFT}" y="{middle - 12}">{html.escape(column.title)}</text>')
        color = _SCOPES.get(column.scope, COLORS[0])
        faint = [row.cells[at] for row in table.rows if row not in shown and not row.mean]
        for cell in faint:
            if cell and np.isfinite(cell.said.mean):
                x = _place(cell.said.mean, low, high, _LEFT + 6, _RIGHT - 6)
                parts.append(f'<circle cx="{x:.1f}" cy="{middle + 9}" r="3" fill="{color}" fill-opacity=".4"/>')
        if bold and np.isfinite(bold.said.mean):
            parts += _dot(bold, table, low, high, middle, color)
    return _svg("".join(parts), height, f"{table.title}: means of every method")


def scopes(table: Table) -> list[tuple[str, str]]:
    """The colors of `dots` with what they stand for."""
    return [(color, scope) for scope, color in _SCOPES.items() if scope in {column.scope for column in table.columns}]


def curves(table: Table) -> str:
    """Value against x, one line per method, intervals as bars; x is logarithmic where it spans a decade."""
    xs = [row.x for row in table.rows if row.x is not None]
    logarithmic = min(xs) > 0 and max(xs) / min(xs) >= 10
    cells = [cell for row in table.rows for cell in row.cells if cell]
    ticks = _ticks([edge for cell in cells for edge in (cell.said.mean, cell.said.low, cell.said.high)])
    scaled = dict(zip(xs, np.log10(xs) if logarithmic else xs, strict=True))
    left, right = min(scaled.values()), max(scaled.values())
    bottom = _HEIGHT - _FOOT

    def across(x: float) -> float:
        return _place(float(scaled[x]), left, right, _MARGIN + 12, _RIGHT - 12)

    def up(value: float) -> float:
        return _place(value, ticks[0], ticks[-1], bottom - 6, 10)

    parts = []
    for tick in ticks:
        y = up(tick)
        parts.append(f'<line class="grid" x1="{_MARGIN}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    last = -99.0
    for x in xs:
        if across(x) - last >= 30:
            last = across(x)
            parts.append(f'<text class="tick" x="{last:.1f}" y="{bottom + 14}" text-anchor="middle">{x:g}</text>')
    axis = html.escape(table.axis + (" (log scale)" if logarithmic else ""))
    middle = (_MARGIN + _RIGHT) / 2
    parts.append(f'<text class="name" x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{axis}</text>')
    for at in range(len(table.columns)):
        told = [(row.x, row.cells[at]) for row in table.rows]
        points = [
            (across(x), up(cell.said.mean), up(cell.said.low), up(cell.said.high))
            for x, cell in told
            if x is not None and cell and np.isfinite(cell.said.mean)
        ]
        parts.append(_curve(points, at))
    return _svg("".join(parts), _HEIGHT, f"{table.title}: a curve for every method")


def _curve(points: Sequence[tuple[float, float, float, float]], at: int) -> str:
    """A line through (x, mean, low, high), with bars."""
    color, dash = COLORS[at % len(COLORS)], _DASHES[at // len(COLORS) % len(_DASHES)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in points)
    marks = "".join(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{color}" stroke-opacity=".5"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" fill="{color}"/>'
        for x, y, low, high in points
    )
    line = f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"/>'
    return line + marks


def _dot(cell: Cell, table: Table, low: float, high: float, middle: int, color: str) -> list[str]:
    x, left, right = (
        _place(v, low, high, _LEFT + 6, _RIGHT - 6) for v in (cell.said.mean, cell.said.low, cell.said.high)
    )
    return [
        f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}" stroke="{color}" stroke-width="2.4"/>',
        f'<circle cx="{x:.1f}" cy="{middle}" r="5" fill="{color}"/>',
        f'<text class="value" x="{_RIGHT}" y="{middle - 12}" text-anchor="end">{table.said(cell.said.mean)}</text>',
    ]


def _ticks(values: Sequence[float]) -> list[float]:
    """Round numbers around all finite values, about five."""
    finite = [value for value in values if np.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    span = high - low or max(abs(high), 1.0) * 0.1
    raw = span / 4
    power = 10.0 ** np.floor(np.log10(raw))
    step = float(next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999))
    first, last = int(np.floor(low / step + 1e-9)), int(np.ceil(high / step - 1e-9))
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def _place(value: float, low: float, high: float, start: _Number, stop: _Number) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return start + float(np.clip(share, 0, 1)) * (stop - start)


def _svg(body: str, height: int, label: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{html.escape(label)}">{body}</svg>'
