"""The uncertainty of figures: bootstrap intervals by patient, and paired tests of two methods over the same cases."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Figures = Mapping[tuple[str, str], float]
"""One figure per case: (patient, case) -> value."""

DRAWS = 2000  # resamples of a bootstrap
FLIPS = 9999  # of a test, where there are too many patients to try them all
_MAX_EXACT = 12  # patients: 4096 ways to flip their signs


@dataclass(frozen=True, eq=False)
class Group:
    """The figures of one method in one set and task. Groups of one set may share patients; different sets do not."""

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
    """One method minus another, over the cases that both have: the mean difference with its interval, and p."""

    difference: Interval
    p: float
    cases: int


def interval(groups: Sequence[Group]) -> Interval:
    """The mean over groups of the mean over their cases, with its percentile interval by patient.

    Groups have equal weight, whatever their size. Patients are resampled within every set, with all their cases and in
    all groups of the set at once. The resamples are the same in every call.
    """
    assert groups, "no figures"
    means, resampled = [], []
    for number, (patients, sums, counts) in enumerate(_by_patient(groups)):
        mean = sums.sum(axis=1) / counts.sum(axis=1)
        times = _resamples(len(patients), number)
        total = times @ counts.T
        # A resample may contain no patient of a small group: the group then keeps its mean.
        with np.errstate(invalid="ignore"):  # figures that are not finite make intervals that are not
            resampled.append(np.where(total > 0, times @ sums.T / np.maximum(total, 1), mean))
        means.append(mean)
    low, high = np.percentile(np.concatenate(resampled, axis=1).mean(axis=1), (2.5, 97.5))
    return Interval(float(np.concatenate(means).mean()), float(low), float(high))


def compare(one: Sequence[Group], other: Sequence[Group]) -> Comparison:
    """A paired comparison of two methods, group by group, over the cases that both have figures of.

    p is that of a two-sided permutation test: under the null hypothesis, every patient's difference could have the
    other sign, in all the patient's cases at once. Exact up to 12 patients, else by 9999 flips, the same in every call.
    p is 1 if nothing differs, if a figure is not finite, or if no case is shared (the difference is then 0).
    """
    assert [group.set for group in one] == [group.set for group in other], "groups in one order"
    differences = []
    for left, right in zip(one, other, strict=True):
        shared = [key for key in left.figures if key in right.figures]
        if shared:
            differences.append(Group(left.set, {key: left.figures[key] - right.figures[key] for key in shared}))
    if not differences:
        return Comparison(Interval(0.0, 0.0, 0.0), 1.0, 0)
    return Comparison(interval(differences), _sign_flip_p(differences), sum(len(g.figures) for g in differences))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's correction of the p values of several tests, which bounds the chance of any false positive."""
    order = np.argsort(ps, kind="stable")
    factors = len(ps) - np.arange(len(ps))
    corrected = np.minimum(1, np.maximum.accumulate(np.asarray(ps, np.float64)[order] * factors))
    return [float(p) for p in corrected[np.argsort(order, kind="stable")]]


def _by_patient(groups: Sequence[Group]) -> Iterator[tuple[list[str], NDArray[np.float64], NDArray[np.float64]]]:
    """For every set: its patients (P,), and the sums and counts of their cases in each of its groups (G, P)."""
    for name in dict.fromkeys(group.set for group in groups):
        members = [group.figures for group in groups if group.set == name]
        patients = sorted({patient for figures in members for patient, _ in figures})
        index = {patient: at for at, patient in enumerate(patients)}
        sums, counts = np.zeros((2, len(members), len(patients)))
        for number, figures in enumerate(members):
            at = [index[patient] for patient, _ in figures]
            np.add.at(sums[number], at, list(figures.values()))
            np.add.at(counts[number], at, 1)
        yield patients, sums, counts


def _sign_flip_p(differences: Sequence[Group]) -> float:
    """The p value of the mean over groups of mean differences when the signs of patients are flipped."""
    parts = [(sums / counts.sum(axis=1, keepdims=True)).sum(axis=0) for _, sums, counts in _by_patient(differences)]
    weights = np.concatenate(parts) / len(differences)  # each patient's contribution to the mean
    if not np.isfinite(weights).all():
        return 1.0
    weights = weights[weights != 0]
    observed, tolerance = abs(weights.sum()), 1e-12 * np.abs(weights).sum()
    if len(weights) <= _MAX_EXACT:
        signs = 1.0 - 2.0 * (np.arange(2 ** len(weights))[:, None] >> np.arange(len(weights)) & 1)
        return float((np.abs(signs @ weights) >= observed - tolerance).mean())
    extreme = (np.abs(_signs(len(weights)) @ weights) >= observed - tolerance).sum()
    return float((1 + extreme) / (1 + FLIPS))


@lru_cache(maxsize=64)
def _resamples(patients: int, number: int) -> NDArray[np.float64]:
    """How often each patient of the set of that number is drawn: (draws, patients)."""
    rng = np.random.default_rng((number, patients))
    return rng.multinomial(patients, np.full(patients, 1 / patients), size=DRAWS).astype(np.float64)


@lru_cache(maxsize=8)
def _signs(patients: int) -> NDArray[np.float64]:
    return np.random.default_rng(patients).choice((-1.0, 1.0), size=(FLIPS, patients))
