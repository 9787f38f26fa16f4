"""Builds tables from result records: means with intervals, and which method is significantly best."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mvg.benchmark.report.captions import SIGNIFICANCE, caption, region_name
from mvg.benchmark.report.records import Record, Results
from mvg.benchmark.report.table import Cell, Column, Row, Table
from mvg.benchmark.statistics import Comparison, Group, Interval, compare, holm, interval

_METRIC_ORDER = (
    "IoU", "Dice", "NSD", "HD95", "foreground IoU", "false-positive volume", "PSNR", "SSIM", "MAE", "FRD",
    "downstream Dice", "quality estimate",
)  # fmt: skip
_SetTask = tuple[str, str]
_Groups = dict[_SetTask, Group]


@dataclass(frozen=True)
class _TableKey:
    """What the records of one table share."""

    suite: str
    kind: str
    metric: str
    region: str
    is_curve: bool
    unseen: bool

    @property
    def rank(self) -> int:
        """The place of the metric among the tables."""
        return _METRIC_ORDER.index(self.metric) if self.metric in _METRIC_ORDER else len(_METRIC_ORDER)


def tables(results: Results) -> list[Table]:
    """All tables, by suite, kind of task, metric and region; curves come after the others."""
    by_key: dict[_TableKey, list[Record]] = defaultdict(list)
    for record in results.records:
        by_key[_key(record)].append(record)
    has_several_suites = len({key.suite for key in by_key}) > 1
    # Kinds and regions keep the order of the records: runs write the most informative region first.
    kinds = list(dict.fromkeys((key.suite, key.kind) for key in by_key))
    ordered = sorted(by_key, key=lambda k: (kinds.index((k.suite, k.kind)), k.is_curve, k.rank, k.metric, k.unseen))
    return [_table(by_key[key], key.suite if has_several_suites else "", results.axis) for key in ordered]


def _key(record: Record) -> _TableKey:
    is_curve = record.x is not None  # curves average over sets, so trained and unseen sets need a table each
    unseen = is_curve and record.unseen
    return _TableKey(record.suite, record.kind, record.metric.name, record.region, is_curve, unseen)


def _table(records: list[Record], suite: str, axis: str) -> Table:
    by_column: dict[Column, list[Record]] = defaultdict(list)
    for record, column in zip(records, _columns(records), strict=True):
        by_column[column].append(record)
    methods = list(dict.fromkeys(column.method for column in by_column))
    columns = sorted(by_column, key=lambda column: (methods.index(column.method), column.prompts))
    is_curve = records[0].x is not None
    make_rows = _curve_rows if is_curve else _set_rows
    rows = make_rows(records, [by_column[column] for column in columns])
    axis = axis if is_curve else ""
    return Table(
        _title(records[0], suite, axis), records[0].metric, tuple(columns), tuple(rows), axis, caption(records)
    )


def _title(first: Record, suite: str, axis: str) -> str:
    metric = first.metric
    words = [f"{metric.name} ({metric.unit})" if metric.unit else metric.name, first.kind]
    if metric.target_type == "image" or first.region != "whole":
        words.append(region_name(first.region))
    if axis:
        words.append(f"by {axis}")
        words += ["unseen sets"] * first.unseen
    return ", ".join([*words, suite] if suite else words)


def _columns(records: Sequence[Record]) -> list[Column]:
    """The column of every record. A curve joins a series, unless two methods of the series share a place."""
    places: dict[tuple[str, int, float | None], set[str]] = defaultdict(set)
    for record in records:
        places[record.series, record.prompts, record.x].add(record.method)
    joins_series = records[0].x is not None and all(len(methods) == 1 for methods in places.values())
    axis_counts_prompts = all(record.x == record.prompts for record in records)
    return [
        Column(
            record.series if joins_series else record.method,
            0 if axis_counts_prompts else record.prompts,
            record.scope,
        )
        for record in records
    ]


def _set_rows(records: Sequence[Record], by_column: Sequence[Sequence[Record]]) -> list[Row]:
    """A row per set and task, then the means over trained and over unseen sets."""
    better = records[0].metric.better
    places = list(dict.fromkeys((record.set, record.task) for record in records))
    unseen_sets = {record.set for record in records if record.unseen}
    columns = [_groups(column) for column in by_column]
    rows = [_row(_row_title(key, records, unseen_sets), [key], columns, better) for key in places]
    trained = [key for key in places if key[0] not in unseen_sets]
    unseen = [key for key in places if key[0] in unseen_sets]
    for title, chosen in (("mean", trained), ("mean, unseen sets" if trained else "mean", unseen)):
        if len(chosen) > 1:
            rows.append(replace(_row(title, chosen, columns, better), is_mean=True))
    return rows


def _row_title(key: _SetTask, records: Sequence[Record], unseen_sets: set[str]) -> str:
    """The set, and its task where the set alone does not identify it."""
    name, task = key
    tasks = {record.task for record in records if record.set == name}
    is_clear = records[0].kind == "segmentation" and len(tasks) == 1
    return name + ("" if is_clear else f", {task.split(':', 1)[-1]}") + " (unseen)" * (name in unseen_sets)


def _curve_rows(records: Sequence[Record], by_column: Sequence[Sequence[Record]]) -> list[Row]:
    """A row per place on the axis, with means over all sets and tasks."""
    places = list(dict.fromkeys((record.set, record.task) for record in records))
    rows = []
    for x in sorted({record.x for record in records if record.x is not None}):
        columns = [_groups([record for record in column if record.x == x]) for column in by_column]
        rows.append(replace(_row(f"{x:g}", places, columns, records[0].metric.better), x=x))
    return rows


def _groups(records: Sequence[Record]) -> _Groups:
    """The figures of one column by set and task; each case is averaged over seeds."""
    values: dict[_SetTask, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        values[record.set, record.task][record.patient, record.case].append(record.value)
    return {
        key: Group(key[0], {case: float(np.mean(figures)) for case, figures in cases.items()})
        for key, cases in values.items()
    }


def _row(title: str, places: Sequence[_SetTask], columns: Sequence[_Groups], better: str) -> Row:
    """A row over some sets and tasks; a column that lacks one of them gets no cell."""
    chosen = [[groups[p] for p in places] if all(p in groups for p in places) else [] for groups in columns]
    intervals = [interval(groups) if groups else None for groups in chosen]
    best = _best(intervals, better)
    comparisons = _comparisons(chosen, best)
    is_sure = bool(comparisons) and all(p < SIGNIFICANCE for _, p in comparisons.values())
    cells: list[Cell | None] = []
    for at, (groups, mean) in enumerate(zip(chosen, intervals, strict=True)):
        comparison, p = comparisons.get(at, (None, None))
        cases = sum(len(group.figures) for group in groups)
        cells.append(Cell(mean, cases, is_sure and at == best, comparison, p) if mean else None)
    cases, patients = _counts(places, columns)
    return Row(title, cases, patients, tuple(cells))


def _best(intervals: Sequence[Interval | None], better: str) -> int | None:
    """The index of the column with the best finite mean."""
    sign = 1 if better == "higher" else -1
    ranked = {at: sign * mean.mean for at, mean in enumerate(intervals) if mean and np.isfinite(mean.mean)}
    return max(ranked, key=lambda at: ranked[at]) if ranked else None


def _comparisons(chosen: Sequence[Sequence[Group]], best: int | None) -> dict[int, tuple[Comparison, float]]:
    """The best column minus every other one, by column, with p values after Holm's correction."""
    if best is None:
        return {}
    others = [at for at, groups in enumerate(chosen) if groups and at != best]
    compared = [compare(chosen[best], chosen[at]) for at in others]
    corrected = holm([comparison.p for comparison in compared])
    return dict(zip(others, zip(compared, corrected, strict=True), strict=True))


def _counts(places: Sequence[_SetTask], columns: Sequence[_Groups]) -> tuple[int, int]:
    """The cases and patients that any column has figures of."""
    measured = [(key, groups[key].figures) for groups in columns for key in places if key in groups]
    cases = {(key, case) for key, figures in measured for case in figures}
    patients = {(key[0], patient) for key, figures in measured for patient, _ in figures}
    return len(cases), len(patients)
