"""Slices worth correcting: where most is likely wrong, and not twice in one place."""

from mvg.prediction.selection.uncertain import worth_correcting


def test_the_most_doubtful_place_comes_first() -> None:
    doubts = dict.fromkeys(range(40), 1.0) | {30: 50.0}
    assert worth_correcting(doubts, 1) == (30,)


def test_two_slices_are_not_chosen_side_by_side() -> None:
    first, second = worth_correcting(dict.fromkeys(range(40), 10.0), 2)
    assert abs(first - second) > 5


def test_no_slice_is_chosen_twice_and_all_are_in_the_end() -> None:
    chosen = worth_correcting({2: 0.0, 5: 0.0, 9: 3.0}, 10)
    assert sorted(chosen) == [2, 5, 9]
    assert worth_correcting({}, 3) == ()
