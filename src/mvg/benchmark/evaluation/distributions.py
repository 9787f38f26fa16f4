"""Charts of an evaluation: for every label or region the figures of all cases, and their mean with its interval."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mvg.benchmark.evaluation.evaluate import Evaluation
from mvg.benchmark.evaluation.scores import Quantity
from mvg.benchmark.evaluation.summary import ALL, Summary
from mvg.benchmark.report.charts import SERIES_COLORS, figure_of, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE, _FOOT = 0.5, 0.4  # inches
_JITTER = (0.0, 0.14, -0.14, 0.07, -0.07)  # of neighboring cases, so that equal figures stay apart
_MARGIN = 0.03  # of the axis beyond the range of a metric, for dots at its ends
_LONG = 10.0  # medians
_BASE = 0.12  # of a line, below its text


def distribution(evaluation: Evaluation, at: int) -> str:
    """The distribution of quantity number `at` as inline SVG: a line for each label or region, a dot for each case."""
    quantity = evaluation.quantities[at]
    rows = [row for row in evaluation.summaries if row.intervals[at] is not None]
    with figure_of(_LINE * len(rows) + _FOOT) as (figure, axes):
        axes.grid(axis="y", visible=False)
        axes.set_yticks([])
        axes.set_ylim(len(rows) - 0.4, -0.65)
        axes.spines["left"].set_visible(False)
        for line, row in enumerate(rows):
            _draw_line(axes, evaluation, at, line, row)
        _set_range(axes, quantity, [value for row in rows for value in _values(evaluation, at, row)])
        return svg_of(figure, f"{quantity.title}: every case, and the mean of every row")


def _draw_line(axes: "Axes", evaluation: Evaluation, at: int, line: int, row: Summary) -> None:
    values = sorted(_values(evaluation, at, row))
    heights = [line + _BASE + _JITTER[number % len(_JITTER)] for number in range(len(values))]
    axes.plot(values, heights, "o", markersize=4.5, color=SERIES_COLORS[0], alpha=0.45, markeredgewidth=0)
    one = row.intervals[at]
    assert one is not None, "rows without a mean are left out"
    spread = ([one.mean - one.low], [one.high - one.mean])
    color = SERIES_COLORS[1]
    axes.errorbar([one.mean], [line + _BASE], xerr=spread, fmt="D", markersize=5, color=color, elinewidth=2, zorder=4)
    sides = axes.get_yaxis_transform()
    axes.text(0.0, line - 0.18, evaluation.name_of(row.part), ha="left", va="bottom", transform=sides)
    text = evaluation.quantities[at].text(one.mean)
    axes.text(1.0, line - 0.18, text, ha="right", va="bottom", weight="bold", transform=sides)


def _values(evaluation: Evaluation, at: int, row: Summary) -> list[float]:
    """The figures of all cases in a row of the summary."""
    if row.part == ALL:
        figures = [case.scores.overall for case in evaluation.cases]
    else:
        figures = [one.figures for case in evaluation.cases for one in case.scores.parts if one.part == row.part]
    return [one[at] for one in figures if not math.isnan(one[at])]


def _set_range(axes: "Axes", quantity: Quantity, values: Sequence[float]) -> None:
    """Fractions from 0 to 1, differences around 0, and lengths on a logarithmic axis where few are far longer."""
    if quantity.key in ("dice", "iou", "nsd"):
        axes.set_xlim(-_MARGIN, 1 + _MARGIN)
        axes.set_xticks(np.linspace(0, 1, 6).tolist())
    elif quantity.key == "difference_ml":
        axes.axvline(0, color=axes.spines["bottom"].get_edgecolor(), linewidth=1, zorder=0)
    elif quantity.key == "hd95_mm" and max(values) > _LONG * max(1.0, float(np.median(values))):
        axes.set_xscale("symlog", linthresh=1.0)
        axes.set_xlim(-_MARGIN * 10, 1.5 * max(values))
        ticks = [0, *(10**power for power in range(int(np.log10(max(values))) + 1))]
        axes.set_xticks(ticks, list(map(str, ticks)))
        axes.minorticks_off()
