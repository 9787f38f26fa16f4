"""Plots of docs/results/pays.md: curves of what a user gives, as SVG files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mvg.benchmark.report.charts import SERIES_COLORS, figure_of, svg_file_of
from mvg.benchmark.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT = 3.4  # inches


@dataclass(frozen=True)
class Curve:
    """One method: x -> its mean with the interval.

    parts: fainter curves of the same color, one for each set. is_aim: no method, so without a line.
    """

    title: str
    points: Mapping[Any, Interval]
    parts: Sequence[Mapping[Any, float]] = ()
    is_aim: bool = False


@dataclass(frozen=True)
class Axis:
    """What the two axes count; by_factors: x is logarithmic; level: a value of y with a line across."""

    x: str
    y: str
    by_factors: bool = False
    level: float | None = None


def plot(title: str, axis: Axis, curves: Sequence[Curve]) -> str:
    """The content of an SVG file; title: for readers who do not see it."""
    with figure_of(_HEIGHT) as (figure, axes):
        if axis.by_factors:
            axes.set_xscale("log")
        axes.set_xlabel(axis.x)
        axes.set_ylabel(axis.y)
        ticks = sorted({x for curve in curves for points in (curve.points, *curve.parts) for x in points})
        axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
        axes.minorticks_off()
        if axis.level is not None:
            axes.axhline(axis.level, color="gray", linestyle="--", linewidth=1)
        for at, curve in enumerate(curves):
            _draw(axes, curve, SERIES_COLORS[at])
        if len(curves) > 1:
            figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return svg_file_of(figure, title)


def _draw(axes: "Axes", curve: Curve, color: str) -> None:
    points = sorted(curve.points.items())
    xs, means = [x for x, _ in points], [round(value.mean, 4) for _, value in points]
    if curve.is_aim:
        axes.plot(xs, means, "_", color="gray", markersize=18, markeredgewidth=2, label=curve.title)
        return
    for part in curve.parts:
        places = sorted(part.items())
        axes.plot([x for x, _ in places], [round(y, 4) for _, y in places], color=color, alpha=0.3, linewidth=0.9)
    spans = [[round(max(0.0, side), 4) for side in sides] for sides in _spans([value for _, value in points])]
    if not points:
        return
    bars: dict[str, Any] = {"yerr": spans, "ecolor": (color, 0.5), "elinewidth": 1.2}
    axes.errorbar(xs, means, color=color, marker="o", markersize=4.5, label=curve.title, **bars)


def _spans(values: Sequence[Interval]) -> tuple[list[float], list[float]]:
    return [value.mean - value.low for value in values], [value.high - value.mean for value in values]
