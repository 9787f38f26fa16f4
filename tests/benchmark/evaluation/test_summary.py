"""Means over the cases that have a figure."""

import math

from mvg.benchmark.evaluation.scores import IMAGE_QUANTITIES, CaseScores, PartScores
from mvg.benchmark.evaluation.summary import summaries


def test_a_figure_that_a_case_lacks_is_left_out_of_the_mean() -> None:
    figures = ((30.0, math.nan, 0.1), (20.0, 0.5, 0.3))
    cases = [(f"case{at}", "", CaseScores(one, (PartScores("whole", one),))) for at, one in enumerate(figures)]
    (row,) = summaries(IMAGE_QUANTITIES, cases)
    assert row.cases == 2
    assert [one.mean for one in row.intervals if one] == [25.0, 0.5, 0.2]
