"""How well a method's own quality estimates agree with the Dice of its predictions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from mvg.benchmark.report.records import Record, Results
from mvg.benchmark.statistics import DRAWS, Interval

TITLE = "Do quality estimates tell good predictions from bad ones?"
HEADINGS = ("method", "prompts", "cases", "rank correlation", "mean within sets", "mean |estimate - Dice|")
_ESTIMATE, _TRUTH = "quality estimate", "Dice"
_MIN_CASES = 4  # a correlation of fewer cases means nothing


@dataclass(frozen=True)
class Agreement:
    """How the estimates of one method, with one number of prompts, agree with Dice over the cases of all sets.

    correlation: Spearman's, with its 95 % bootstrap interval by patient. within_sets: the mean of the correlations of
    single sets. gap: the mean absolute difference.
    """

    method: str
    prompts: int
    cases: int
    correlation: Interval
    within_sets: float
    gap: float

    @property
    def texts(self) -> list[str]:
        """The cells of its table row, in the order of HEADINGS."""
        c = self.correlation
        return [
            self.method, str(self.prompts), str(self.cases), f"{c.mean:.2f} ({c.low:.2f} to {c.high:.2f})",
            f"{self.within_sets:.2f}", f"{self.gap:.3f}",
        ]  # fmt: skip


class _Case(NamedTuple):
    set: str
    task: str
    patient: str
    name: str
    seed: int


_Pairs = NDArray[np.float64]
"""Estimate and Dice of each case: (cases, 2)."""


def agreements(results: Results) -> list[Agreement]:
    """One agreement for every method and number of prompts with estimates of enough cases."""
    by_method: dict[tuple[str, int], dict[_Case, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for record in results.records:
        if record.metric.name in (_ESTIMATE, _TRUTH):
            by_method[record.method, record.prompts][_case(record)][record.metric.name] = record.value
    agreements = []
    for (method, prompts), cases in by_method.items():
        pairs = {case: (values[_ESTIMATE], values[_TRUTH]) for case, values in cases.items() if len(values) == 2}
        if len(pairs) >= _MIN_CASES:
            agreements.append(_agreement(method, prompts, pairs))
    return agreements


def _case(record: Record) -> _Case:
    return _Case(record.set, record.task, record.patient, record.case, record.seed)


def _agreement(method: str, prompts: int, by_case: Mapping[_Case, tuple[float, float]]) -> Agreement:
    pairs = np.array(list(by_case.values()))
    patients: dict[tuple[str, str], list[int]] = defaultdict(list)
    sets: dict[tuple[str, str], list[int]] = defaultdict(list)
    for at, case in enumerate(by_case):
        patients[case.set, case.patient].append(at)
        sets[case.set, case.task].append(at)
    low, high = _bootstrap(pairs, list(patients.values()))
    within = [_rank_correlation(pairs[indices]) for indices in sets.values() if len(indices) >= _MIN_CASES]
    return Agreement(
        method,
        prompts,
        len(pairs),
        Interval(_rank_correlation(pairs), low, high),
        float(np.nanmean(within)) if np.isfinite(within).any() else float("nan"),
        float(np.abs(pairs[:, 0] - pairs[:, 1]).mean()),
    )


def _bootstrap(pairs: _Pairs, patients: Sequence[Sequence[int]]) -> tuple[float, float]:
    """The 95 % interval of the correlation when patients are redrawn with all their cases."""
    rng = np.random.default_rng(0)
    draws = [
        _rank_correlation(
            pairs[np.concatenate([patients[at] for at in rng.integers(len(patients), size=len(patients))])]
        )
        for _ in range(DRAWS)
    ]
    low, high = np.nanpercentile(draws, (2.5, 97.5))
    return float(low), float(high)


def _rank_correlation(pairs: _Pairs) -> float:
    """Spearman's correlation; NaN where one side does not vary."""
    if min(np.ptp(pairs[:, 0]), np.ptp(pairs[:, 1])) == 0:
        return float("nan")
    return float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
