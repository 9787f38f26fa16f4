"""Lines of results as tables: means with intervals, and who is best for sure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvg.benchmark.protocol.metric import Metric
from mvg.benchmark.report.records import Record, Results
from mvg.benchmark.statistics import Comparison, Figures, Group, Interval, compare, holm, interval

LEVEL = 0.05
_METRICS = (  # the order of tables
    "IoU", "Dice", "NSD", "HD95", "foreground IoU", "false-positive volume", "PSNR", "SSIM", "MAE", "downstream Dice",
    "quality estimate",
)  # fmt: skip
_Place = tuple[str, str]
"""A set and a task."""


@dataclass(frozen=True)
class Column:
    """A method that was shown a number of prompts (0: none, or as many as x says)."""

    method: str
    prompts: int
    scope: str

    @property
    def title(self) -> str:
        """As tables print it."""
        return f"{self.method}, {self.prompts} prompt{'s' * (self.prompts > 1)}" if self.prompts else self.method


@dataclass(frozen=True)
class Cell:
    """A mean over cases. best: better than every other of its row, for sure; behind: the row's best less this one."""

    said: Interval
    cases: int
    best: bool
    behind: Comparison | None
    p: float | None


@dataclass(frozen=True)
class Row:
    """Cells in the order of the columns, None where a figure is missing. mean: over rows; x: of a curve."""

    title: str
    cases: int
    patients: int
    cells: tuple[Cell | None, ...]
    mean: bool = False
    x: float | None = None


@dataclass(frozen=True)
class Table:
    """One metric of one kind of task in one region; rows are sets (and directions), or places on a curve's axis."""

    title: str
    metric: Metric
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    axis: str
    caption: str

    @property
    def digits(self) -> int:
        """Decimals that tell figures of this size apart."""
        sizes = [abs(cell.said.mean) for row in self.rows for cell in row.cells if cell]
        largest = max((size for size in sizes if np.isfinite(size)), default=0.0)
        return int(np.clip(2 - np.floor(np.log10(largest)), 2, 4)) if largest > 0 else 2

    def said(self, value: float) -> str:
        """A figure as text."""
        return f"{value:.{self.digits}f}"


def tables(results: Results) -> list[Table]:
    """All tables: by suite, kind of task, metric and region; curves after the others."""
    found: dict[tuple[str, str, int, str, str, bool, bool], list[Record]] = defaultdict(list)
    for line in results.lines:
        name = line.metric.name
        rank = _METRICS.index(name) if name in _METRICS else len(_METRICS)
        curve = line.x is not None  # has a mean at every place, of learnt and of unseen sets apart
        found[line.suite, line.kind, rank, name, line.region, curve, curve and line.unseen].append(line)
    several = len({suite for suite, *_ in found}) > 1
    # Kinds and regions stay as they come: the most telling region is told first.
    kinds = list(dict.fromkeys((suite, kind) for suite, kind, *_ in found))
    order = sorted(found, key=lambda key: (kinds.index((key[0], key[1])), key[5], key[2], key[3], key[6]))
    return [_table(found[key], key[0] if several else "", results.axis) for key in order]


def _table(lines: list[Record], suite: str, axis: str) -> Table:
    first = lines[0]
    curve = first.x is not None
    by_column: dict[Column, list[Record]] = defaultdict(list)
    for line, column in zip(lines, _columns(lines), strict=True):
        by_column[column].append(line)
    names = list(dict.fromkeys(column.method for column in by_column))
    ordered = sorted(by_column, key=lambda column: (names.index(column.method), column.prompts))
    asked = [by_column[column] for column in ordered]
    rows = _curve_rows(lines, asked) if curve else _set_rows(lines, asked)
    region = {"whole": "whole image"}.get(first.region, first.region)
    words = [first.metric.name + (f" ({first.metric.unit})" if first.metric.unit else ""), first.kind]
    words += [region] * (first.metric.answers == "image" or first.region != "whole") + [f"by {axis}"] * curve
    words += ["unseen sets"] * (curve and first.unseen) + [suite] * bool(suite)
    return Table(", ".join(words), first.metric, tuple(ordered), tuple(rows), axis if curve else "", _caption(lines))


def _columns(lines: Sequence[Record]) -> list[Column]:
    """The column of every line. Lines of a curve go by series, unless that puts two methods on one place."""
    places: dict[tuple[str, int, float | None], set[str]] = defaultdict(set)
    for line in lines:
        places[line.series, line.prompts, line.x].add(line.method)
    clear = all(len(methods) == 1 for methods in places.values())
    counted = all(line.x == line.prompts for line in lines)  # the axis is the number of prompts
    columns = []
    for line in lines:
        name = line.series if line.x is not None and clear else line.method
        columns.append(Column(name, 0 if counted else line.prompts, line.scope))
    return columns


def _set_rows(lines: Sequence[Record], asked: Sequence[Sequence[Record]]) -> list[Row]:
    """A row per set and task, and the means over learnt and over unseen sets."""
    better = lines[0].metric.better
    places = list(dict.fromkeys((line.set, line.task) for line in lines))
    unseen = {line.set for line in lines if line.unseen}
    tasks: dict[str, set[str]] = defaultdict(set)
    for name, task in places:
        tasks[name].add(task)
    groups = [_groups(some) for some in asked]
    rows = []
    for place in places:
        plain = lines[0].kind == "segmentation" and len(tasks[place[0]]) == 1
        title = place[0] + ("" if plain else f", {place[1].split(':', 1)[-1]}") + " (unseen)" * (place[0] in unseen)
        rows.append(_row(title, [place], groups, better))
    learnt = [place for place in places if place[0] not in unseen]
    others = [place for place in places if place[0] in unseen]
    for title, some in (("mean", learnt), ("mean, unseen sets" if learnt else "mean", others)):
        if len(some) > 1:
            rows.append(_row(title, some, groups, better, mean=True))
    return rows


def _curve_rows(lines: Sequence[Record], asked: Sequence[Sequence[Record]]) -> list[Row]:
    """A row per place on the axis: means over all sets and tasks."""
    rows = []
    places = list(dict.fromkeys((line.set, line.task) for line in lines))
    for x in sorted({line.x for line in lines if line.x is not None}):
        groups = [_groups([line for line in some if line.x == x]) for some in asked]
        rows.append(_row(f"{x:g}", places, groups, lines[0].metric.better, x=x))
    return rows


def _groups(lines: Sequence[Record]) -> dict[_Place, Group]:
    """The figures of one column by set and task, each case averaged over seeds."""
    values: dict[_Place, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        values[line.set, line.task][line.patient, line.case].append(line.value)
    return {
        place: Group(place[0], {case: float(np.mean(some)) for case, some in found.items()})
        for place, found in values.items()
    }


def _row(
    title: str, places: Sequence[_Place], columns: Sequence[dict[_Place, Group]], better: str,
    mean: bool = False, x: float | None = None,
) -> Row:  # fmt: skip
    """A row over some sets and tasks; a column that lacks one of them has no cell."""
    chosen = [[groups[p] for p in places] if all(p in groups for p in places) else None for groups in columns]
    cells: list[Cell | None] = [None] * len(chosen)
    means = [interval(groups) if groups else None for groups in chosen]
    sign = 1 if better == "higher" else -1
    ranked = {at: sign * said.mean for at, said in enumerate(means) if said and np.isfinite(said.mean)}
    top = max(ranked, key=lambda at: ranked[at]) if ranked else None
    others = [at for at, groups in enumerate(chosen) if groups and at != top]
    best_groups = None if top is None else chosen[top]
    behind = [compare(best_groups, chosen[at] or []) for at in others] if best_groups else []
    ps = holm([comparison.p for comparison in behind])
    sure = bool(ps) and all(p < LEVEL for p in ps)
    told = dict(zip(others, zip(behind, ps, strict=True), strict=False))
    for at, (groups, said) in enumerate(zip(chosen, means, strict=True)):
        if groups and said:
            comparison, p = told.get(at, (None, None))
            cells[at] = Cell(said, sum(len(g.figures) for g in groups), sure and at == top, comparison, p)
    found: list[tuple[str, Figures]] = [(p[0], groups[p].figures) for groups in columns for p in places if p in groups]
    cases = {(at, case) for groups in columns for at in places if at in groups for case in groups[at].figures}
    patients = {(name, patient) for name, figures in found for patient, _ in figures}
    return Row(title, len(cases), len(patients), tuple(cells), mean, x)


def _caption(lines: Sequence[Record]) -> str:
    """All that has to be known to read the figures."""
    metric = lines[0].metric
    low, high = metric.range
    span = f"{low:g} to {high:g}" if np.isfinite(high) else f"from {low:g}"
    said = [f"{metric.name}{f' in {metric.unit}' if metric.unit else ''}, {span}, {metric.better} is better"]
    if metric.answers == "image":
        said.append(f"Region: {'whole image' if lines[0].region == 'whole' else lines[0].region}")
    if any(line.range for line in lines):
        said.append(f"Intensity range: {_ranges(lines)}")
    said += [f"Definition: {metric.library}", f"Aggregation: {metric.aggregation}"]
    said.append(
        "Then the mean over cases with its 95 % bootstrap interval by patient; a mean weighs all its rows alike"
    )
    seeds = sorted({line.seed for line in lines})
    if len(seeds) > 1:
        said.append(f"Every case is averaged over seeds of learning first (seeds {', '.join(map(str, seeds))})")
    if len({(line.set, line.task) for line in lines}) > 1:
        said.append("A method that lacks a row has no mean")
    if any(line.shown < line.prompts for line in lines):
        said.append("A set with fewer training cases than prompts shows all that it has")
    said.append(
        f"Bold: better than every other column of its row, p < {LEVEL:g} each (paired sign-flip test by patient, Holm "
        "correction over the other columns); rows of few patients can have none"
    )
    return ". ".join(said) + "."


def _ranges(lines: Sequence[Record]) -> str:
    """The one range, or of several what is said of them in parentheses."""
    found = list(dict.fromkeys(line.range for line in lines if line.range))
    if len(found) > 1:
        found = list(dict.fromkeys(text.partition("(")[2].rpartition(")")[0] or text for text in found))
        return "; ".join(found) + ", by case"
    return found[0]
