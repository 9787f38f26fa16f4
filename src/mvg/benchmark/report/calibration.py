"""How what methods think of their answers agrees with what the answers are worth."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from mvg.benchmark.report.records import Record, Results
from mvg.benchmark.statistics import DRAWS, Interval

ESTIMATES = "Do quality estimates tell good answers from bad ones?"
"""What a table of agreements is called."""
_MOST = "Dice"
_FEWEST = 4  # cases, below which a correlation says nothing


@dataclass(frozen=True)
class Agreement:
    """Of one method and number of prompts: rank correlation of estimate and Dice over cases of all sets, with its 95 %
    bootstrap interval by patient; within: the mean of the sets' own correlations; gap: mean absolute difference.
    """

    method: str
    prompts: int
    cases: int
    over_all: Interval
    within: float
    gap: float


def agreements(results: Results) -> list[Agreement]:
    """One for every method that has told its estimates."""
    found: dict[tuple[str, int], dict[tuple[str, str, str, str, int], dict[str, float]]] = defaultdict(dict)
    for line in results.lines:
        if line.metric.name in ("quality estimate", _MOST):
            own = found[line.method, line.prompts].setdefault(_case(line), {})
            own[line.metric.name] = line.value
    said = []
    for (method, prompts), cases in found.items():
        both = {case: (own["quality estimate"], own[_MOST]) for case, own in cases.items() if len(own) == 2}
        if len(both) >= _FEWEST:
            said.append(_agreement(method, prompts, both))
    return said


def _case(line: Record) -> tuple[str, str, str, str, int]:
    return (line.set, line.task, line.patient, line.case, line.seed)


def _agreement(method: str, prompts: int, both: dict[tuple[str, str, str, str, int], tuple[float, float]]) -> Agreement:
    pairs = np.array(list(both.values()))
    patients: dict[tuple[str, str], list[int]] = defaultdict(list)
    sets: dict[tuple[str, str], list[int]] = defaultdict(list)
    for at, (name, task, patient, _, _) in enumerate(both):
        patients[name, patient].append(at)
        sets[name, task].append(at)
    rng, groups = np.random.default_rng(0), list(patients.values())
    draws = [
        _rank(pairs[np.concatenate([groups[one] for one in rng.integers(len(groups), size=len(groups))])])
        for _ in range(DRAWS)
    ]
    low, high = np.nanpercentile(draws, (2.5, 97.5))
    own = [_rank(pairs[some]) for some in sets.values() if len(some) >= _FEWEST]
    return Agreement(
        method,
        prompts,
        len(pairs),
        Interval(_rank(pairs), float(low), float(high)),
        float(np.nanmean(own)) if np.isfinite(own).any() else float("nan"),
        float(np.abs(pairs[:, 0] - pairs[:, 1]).mean()),
    )


def _rank(pairs: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
    """Spearman's correlation; NaN where one side does not vary."""
    if min(np.ptp(pairs[:, 0]), np.ptp(pairs[:, 1])) == 0:
        return float("nan")
    return float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)


def rows_of(found: Sequence[Agreement]) -> list[list[str]]:
    """A table as text, its head first; nothing without agreements."""
    if not found:
        return []
    head = ["method", "prompts", "cases", "rank correlation", "mean within sets", "mean |estimate - Dice|"]
    return [
        head,
        *(
            [
                one.method, str(one.prompts), str(one.cases),
                f"{one.over_all.mean:.2f} ({one.over_all.low:.2f} to {one.over_all.high:.2f})",
                f"{one.within:.2f}", f"{one.gap:.3f}",
            ]
            for one in found
        ),
    ]  # fmt: skip
