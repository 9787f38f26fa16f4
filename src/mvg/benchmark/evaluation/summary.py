"""Figures of many cases in one row: means with intervals, by label or region."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mvg.benchmark.evaluation.scores import LABEL_QUANTITIES, CaseScores, Quantity
from mvg.benchmark.statistics import Group, Interval, interval

ALL = "all labels"
"""The part of the row that averages over the labels of a case, then over cases."""

NamedScores = tuple[str, str, CaseScores]
"""The name of a case, its patient and its figures."""


@dataclass(frozen=True)
class Summary:
    """The figures of one label or region over the cases that have it.

    intervals: in the order of quantities, None where no case has a figure. cases: how many; missing: cases whose truth
    has the label and whose prediction lacks it; extra: the reverse.
    """

    part: int | str
    cases: int
    intervals: tuple[Interval | None, ...]
    missing: int = 0
    extra: int = 0


def summaries(quantities: Sequence[Quantity], cases: Sequence[NamedScores]) -> list[Summary]:
    """One row for each label or region, and one of all labels together where there are labels."""
    parts = list(dict.fromkeys(part.part for _, _, scores in cases for part in scores.parts))
    labels = sorted(part for part in parts if isinstance(part, int))
    rows = [_summary(part, quantities, cases) for part in (labels or parts)]
    if quantities == LABEL_QUANTITIES and (len(labels) != 1 or not all(scores.parts for _, _, scores in cases)):
        overall = [(name, patient, scores.overall) for name, patient, scores in cases]
        rows.append(Summary(ALL, len(cases), _intervals(quantities, overall)))
    return rows


def _summary(part: int | str, quantities: Sequence[Quantity], cases: Sequence[NamedScores]) -> Summary:
    figures = [
        (name, patient, one.figures) for name, patient, scores in cases for one in scores.parts if one.part == part
    ]
    if isinstance(part, str):
        return Summary(part, len(figures), _intervals(quantities, figures))
    keys = [quantity.key for quantity in quantities]
    predicted, true = ([values[keys.index(key)] for _, _, values in figures] for key in ("predicted_ml", "true_ml"))
    return Summary(
        part, len(figures), _intervals(quantities, figures), missing=predicted.count(0.0), extra=true.count(0.0)
    )


def _intervals(
    quantities: Sequence[Quantity], figures: Sequence[tuple[str, str, tuple[float, ...]]]
) -> tuple[Interval | None, ...]:
    """The mean of each quantity over the cases that have it, with its 95 % interval by patient."""
    intervals: list[Interval | None] = []
    for at in range(len(quantities)):
        values = {(patient, name): row[at] for name, patient, row in figures if not math.isnan(row[at])}
        intervals.append(interval([Group("", values)]) if values else None)
    return tuple(intervals)
