"""How sure figures are: bootstrap intervals by patient, and paired tests of two methods over the same cases."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Figures = Mapping[tuple[str, str], float]
"""One figure per case: (patient, case) -> value."""

DRAWS = 2000  # of a bootstrap
FLIPS = 9999  # of a test, where there are too many patients to try them all
_ALL_FLIPS = 12  # patients: 4096 ways to flip their signs


@dataclass(frozen=True, eq=False)
class Group:
    """The figures of one method in one set and task. Groups of one set may share its patients; sets never do."""

    set: str
    figures: Figures


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One method less another, over the cases that both have: the mean difference with its interval, and p."""

    difference: Interval
    p: float
    cases: int


def interval(groups: Sequence[Group]) -> Interval:
    """The mean over groups of the mean over their cases, with its percentile interval by patient.

    Groups weigh alike, whatever their size. Patients are redrawn within every set, with all their cases and in all
    groups of the set at once. The draws are the same in every call.
    """
    assert groups, "no figures"
    means, redrawn = [], []
    for number, (patients, sums, counts) in enumerate(_by_patient(groups)):
        mean = sums.sum(axis=1) / counts.sum(axis=1)
        drawn = _redraws(len(patients), number)
        total = drawn @ counts.T
        # A group that few patients of its set are in may miss out in a draw: it then stays at its mean.
        with np.errstate(invalid="ignore"):  # figures that are not finite make intervals that are not
            redrawn.append(np.where(total > 0, drawn @ sums.T / np.maximum(total, 1), mean))
        means.append(mean)
    low, high = np.percentile(np.concatenate(redrawn, axis=1).mean(axis=1), (2.5, 97.5))
    return Interval(float(np.concatenate(means).mean()), float(low), float(high))


def compare(one: Sequence[Group], other: Sequence[Group]) -> Comparison:
    """A paired comparison of two methods, group by group, over the cases that both have figures of.

    p is that of a two-sided permutation test: if both were alike, every patient's difference could as well have the
    other sign, in all the patient's cases at once. Exact up to 12 patients, else by 9999 flips, the same in every call.
    p is 1 where nothing differs, a figure is not finite, or no case is shared (the difference is then 0).
    """
    assert [group.set for group in one] == [group.set for group in other], "groups in one order"
    differences = []
    for mine, its in zip(one, other, strict=True):
        shared = [key for key in mine.figures if key in its.figures]
        if shared:
            differences.append(Group(mine.set, {key: mine.figures[key] - its.figures[key] for key in shared}))
    if not differences:
        return Comparison(Interval(0.0, 0.0, 0.0), 1.0, 0)
    return Comparison(interval(differences), _flipped(differences), sum(len(g.figures) for g in differences))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's correction: p values of several tests such that the chance of any false alarm stays below the level."""
    order = np.argsort(ps, kind="stable")
    factors = len(ps) - np.arange(len(ps))
    corrected = np.minimum(1, np.maximum.accumulate(np.asarray(ps, np.float64)[order] * factors))
    return [float(p) for p in corrected[np.argsort(order, kind="stable")]]


def _by_patient(groups: Sequence[Group]) -> Iterator[tuple[list[str], NDArray[np.float64], NDArray[np.float64]]]:
    """Of every set its patients (P,), and the sums and counts of their cases in each of its groups (G, P)."""
    for name in dict.fromkeys(group.set for group in groups):
        own = [group.figures for group in groups if group.set == name]
        patients = sorted({patient for figures in own for patient, _ in figures})
        places = {patient: at for at, patient in enumerate(patients)}
        sums, counts = np.zeros((2, len(own), len(patients)))
        for number, figures in enumerate(own):
            at = [places[patient] for patient, _ in figures]
            np.add.at(sums[number], at, list(figures.values()))
            np.add.at(counts[number], at, 1)
        yield patients, sums, counts


def _flipped(differences: Sequence[Group]) -> float:
    """The p value of the mean over groups of mean differences when the signs of patients are flipped."""
    parts = [(sums / counts.sum(axis=1, keepdims=True)).sum(axis=0) for _, sums, counts in _by_patient(differences)]
    weights = np.concatenate(parts) / len(differences)  # what every patient adds to the mean
    if not np.isfinite(weights).all():
        return 1.0
    weights = weights[weights != 0]
    said, slack = abs(weights.sum()), 1e-12 * np.abs(weights).sum()
    if len(weights) <= _ALL_FLIPS:
        signs = 1.0 - 2.0 * (np.arange(2 ** len(weights))[:, None] >> np.arange(len(weights)) & 1)
        return float((np.abs(signs @ weights) >= said - slack).mean())
    extreme = (np.abs(_signs(len(weights)) @ weights) >= said - slack).sum()
    return float((1 + extreme) / (1 + FLIPS))


@lru_cache(maxsize=64)
def _redraws(patients: int, number: int) -> NDArray[np.float64]:
    """How often each patient of the set of that number is drawn: (draws, patients)."""
    rng = np.random.default_rng((number, patients))
    return rng.multinomial(patients, np.full(patients, 1 / patients), size=DRAWS).astype(np.float64)


@lru_cache(maxsize=8)
def _signs(patients: int) -> NDArray[np.float64]:
    return np.random.default_rng(patients).choice((-1.0, 1.0), size=(FLIPS, patients))
