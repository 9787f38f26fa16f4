"""The page on what quality costs."""

from profiling.committed import groups
from profiling.cost_page import PAGE, page


def test_the_page_is_that_of_the_committed_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m profiling.cost_page"


def test_groups_hold_the_figures_of_each_set() -> None:
    rows = [
        {"set": name, "patient": "p", "case": case, "iou": value}
        for name, case, value in (("one", "a", 0.1), ("two", "b", 0.2), ("one", "c", 0.3))
    ]
    first, second = groups(rows, "iou")
    assert (first.set, dict(first.figures)) == ("one", {("p", "a"): 0.1, ("p", "c"): 0.3})
    assert dict(second.figures) == {("p", "b"): 0.2}
