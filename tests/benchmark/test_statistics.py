"""Intervals and tests: right where the answer is known, and never surer than the number of patients allows."""

import numpy as np
import pytest
from numpy.typing import ArrayLike

from mvg.benchmark.statistics import Group, compare, holm, interval

RNG = np.random.default_rng(0)


def group(values: ArrayLike, name: str = "made", cases: int = 1) -> Group:
    """Rows of values are patients where each has several cases."""
    rows = np.reshape(values, (-1, cases))
    return Group(name, {(f"p{p}", f"p{p}_{c}"): float(rows[p, c]) for p, c in np.ndindex(rows.shape)})


def test_intervals_redraw_patients_not_cases() -> None:
    estimated = interval([group([0.0, 1.0], cases=2)])
    assert (estimated.mean, estimated.low, estimated.high) == (0.5, 0.5, 0.5)  # one patient cannot vary
    estimated = interval([group([0.0, 1.0])])
    assert (estimated.mean, estimated.low, estimated.high) == (0.5, 0.0, 1.0)


def test_intervals_are_as_wide_as_theory_has_it() -> None:
    values = RNG.normal(3, 2, 400)
    estimated = interval([group(values)])
    half = 1.96 * values.std() / np.sqrt(400)
    assert estimated.mean == pytest.approx(values.mean())
    assert estimated.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert estimated.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert estimated == interval([group(values)])
    clustered = interval([group(np.repeat(values, 5), cases=5)])
    assert clustered.high - clustered.low == pytest.approx(estimated.high - estimated.low, rel=1e-6)


def test_groups_weigh_alike_and_vary_on_their_own() -> None:
    assert interval([group([1.0], "a"), group([0.0] * 9, "b")]).mean == 0.5
    values = RNG.normal(0, 1, 100)
    one, two = interval([group(values)]), interval([group(values, "a"), group(values, "b")])
    assert (two.high - two.low) == pytest.approx((one.high - one.low) / np.sqrt(2), rel=0.1)
    same = interval([group(values, "a"), group(values, "a")])  # two tasks of the same patients: no surer
    assert (same.high - same.low) == pytest.approx(one.high - one.low, rel=1e-6)


def test_groups_of_a_set_with_few_patients_in_common() -> None:
    estimated = interval([group(RNG.normal(0, 1, 30)), Group("made", {("p0", "x"): 1.0})])
    assert np.isfinite([estimated.mean, estimated.low, estimated.high]).all()


def test_identical_methods_do_not_differ() -> None:
    values = group(RNG.uniform(0, 1, 30))
    estimated = compare([values], [values])
    assert (estimated.p, estimated.difference.mean, estimated.cases) == (1.0, 0.0, 30)


@pytest.mark.parametrize("count", [8, 40])
def test_a_clear_difference_is_significant_and_has_its_sign(count: int) -> None:
    hard = RNG.uniform(0, 1, count)  # cases differ far more than methods do: only pairing sees it
    better, worse = group(hard + RNG.normal(0.05, 0.01, count)), group(hard)
    estimated, back = compare([better], [worse]), compare([worse], [better])
    assert estimated.p == back.p
    assert estimated.p == pytest.approx(2 / 256) if count == 8 else estimated.p == 1e-4
    assert 0 < estimated.difference.low < estimated.difference.mean < estimated.difference.high < 0.1
    assert back.difference.mean == pytest.approx(-estimated.difference.mean)


def test_p_is_exact_for_few_patients_and_the_sampled_one_agrees() -> None:
    # Of the 16 signed sums of 1, 2, 3 and 4, two reach 10 and two more reach 8.
    assert compare([group([1.0, 2, 3, 4])], [group([0.0] * 4)]).p == 2 / 16
    assert compare([group([-1.0, 2, 3, 4])], [group([0.0] * 4)]).p == 4 / 16
    values = RNG.normal(0.4, 1, 12)
    exact = compare([group(values)], [group(np.zeros(12))]).p
    sampled = compare([group([*values, 1e-9])], [group(np.zeros(13))]).p
    assert sampled == pytest.approx(exact, abs=0.02)


def test_chance_differences_are_significant_as_often_as_stated() -> None:
    ps = [compare([group(RNG.normal(0, 1, 10))], [group(RNG.normal(0, 1, 10))]).p for _ in range(200)]
    assert 0.01 < np.mean(np.array(ps) < 0.05) < 0.10


def test_many_cases_of_few_patients_prove_little() -> None:
    values = RNG.uniform(0.1, 0.2, 60)
    nothing = np.zeros(60)
    assert compare([group(values)], [group(nothing)]).p < 0.001
    assert compare([group(values, cases=20)], [group(nothing, cases=20)]).p == 2 / 8
    twice = compare([group(values[:3]), group(values[:3])], [group(nothing[:3]), group(nothing[:3])])
    assert twice.p == 2 / 8  # two tasks of the same three patients


def test_only_shared_cases_are_compared() -> None:
    few = Group("made", {("p0", "p0_0"): 1.0, ("x", "x"): 9.0})
    estimated = compare([few, group([1.0], "b")], [group([0.0, 0.0]), Group("b", {})])
    assert (estimated.cases, estimated.difference.mean) == (1, 1.0)
    assert compare([few], [Group("made", {})]).p == 1


def test_a_figure_that_is_none_proves_nothing() -> None:
    assert compare([group([np.nan] * 9)], [group([0.0] * 9)]).p == 1
    assert compare([group([np.inf] * 9)], [group([0.0] * 9)]).p == 1


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_comparison_is_over_all_sets() -> None:
    gains = [group([0.1] * 6, "a"), group([0.3] * 4, "b")]
    nothing = [group([0.0] * 6, "a"), group([0.0] * 4, "b")]
    estimated = compare(gains, nothing)
    assert estimated.difference.mean == pytest.approx(0.2)
    assert estimated.p == 2 / 2**10
    assert compare(gains, [nothing[0], group([0.6] * 4, "b")]).difference.mean == pytest.approx(-0.1)
