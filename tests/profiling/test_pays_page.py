"""The page on what more of what a user gives pays, and its plots."""

from xml.etree import ElementTree

from mvg.benchmark.statistics import Interval
from profiling.pays.plots import Axis, Curve, plot
from profiling.pays.rows import curve
from profiling.pays_page import PAGE, PLOTS, page, plots

ROWS = [
    {"set": name, "patient": "p", "case": "c", "x": x, "value": value}
    for name, x, value in (("one", 1, 0.2), ("one", 3, 0.4), ("two", 1, 0.6))
]


def test_the_page_and_its_plots_are_those_of_the_committed_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m profiling.pays_page"
    drawn = plots()
    assert {path.name for path in PLOTS.iterdir()} == set(drawn)
    for name, content in drawn.items():
        assert (PLOTS / name).read_text(encoding="utf-8") == content, f"{name}: run python -m profiling.pays_page"
        assert f"(plots/{name})" in page()


def test_a_curve_averages_where_all_sets_were_measured_and_keeps_each_of_them() -> None:
    drawn = curve("both", ROWS, "x")
    assert {x: round(value.mean, 6) for x, value in drawn.points.items()} == {1: 0.4}
    assert drawn.parts == [{1: 0.2, 3: 0.4}, {1: 0.6}]


def test_a_plot_is_a_file_of_its_own_with_its_curves_and_aims() -> None:
    exact = Interval(0.5, 0.4, 0.6)
    curves = [Curve("ours", {1: exact, 4: exact}), Curve("aim", {4: exact}, is_aim=True)]
    root = ElementTree.fromstring(plot("A title", Axis("prompt cases", "IoU", by_factors=True), curves))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("aria-label") == "A title"
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"ours", "aim", "prompt cases", "IoU", "1", "4"} <= texts
