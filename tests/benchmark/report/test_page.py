"""The report page: everything in one file that refers to nothing outside, with charts that show the tables' figures."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mvg.benchmark.report.calibration import agreements
from mvg.benchmark.report.charts import chart
from mvg.benchmark.report.records import read_results
from mvg.benchmark.report.write import tables_markdown, write_report
from tests.benchmark.report.result_files import Lines, result_lines, tables_of, write_results


def test_the_page_holds_everything_and_needs_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "pictures" / "segmentation.png")
    path = write_results(tmp_path, result_lines("<mvg>", [0.25, 0.75]), result_lines("unet", [np.nan, 0.5]))
    page = tmp_path / "new" / "page.html"
    write_report(path, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    for words in (
        "Made &lt;up&gt;", "&lt;mvg&gt;", "0.500", "0.250 to 0.750", "abc", "<svg", "data:image/png;base64", "nan",
    ):  # fmt: skip
        assert words in text
    for words in ("<mvg>", "http", "<script", "@import", "url(/"):
        assert words not in text
    assert list(page.parent.iterdir()) == [page]
    markdown = tables_markdown(path)
    assert "| heads | 2 (2) | 0.500 (0.250 to 0.750) | nan (nan to nan) |" in markdown
    assert "Made <up>" in markdown


def test_the_best_mean_is_bold_and_compared_with_the_others(tmp_path: Path) -> None:
    path = write_results(tmp_path, result_lines("a", [0.9] * 8), result_lines("b", [0.5] * 8))
    write_report(path, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>0.900</b>" in text
    assert "a minus each other column (heads)" in text
    assert "+0.400<small>+0.400 to +0.400</small>" in text


def test_colors_follow_light_and_dark_pages(tmp_path: Path) -> None:
    write_report(write_results(tmp_path, result_lines("a", [0.1, 0.2])), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert "currentColor" in text
    assert "var(--line)" in text
    assert "#010203" not in text


def test_a_chart_shows_every_method_with_its_mean(tmp_path: Path) -> None:
    (table,) = tables_of(
        tmp_path,
        result_lines("$x_1$ & co", [0.25], "heads"),
        result_lines("$x_1$ & co", [0.75], "hearts"),
        result_lines("unet", [0.1], "heads"),
    )
    drawing = chart(table)
    texts = [element.text for element in ElementTree.fromstring(drawing.svg.replace("xlink:", "")).iter("text")]
    assert "$x_1$ & co" in texts  # not read as a formula
    assert "0.500" in texts
    assert "unet" in texts
    assert "0.100" not in texts  # a method without all rows has no mean
    assert [name for _, name in drawing.legend] == ["generalist"]


def test_curves_are_drawn_by_series_along_x(tmp_path: Path) -> None:
    lines: list[Lines] = [
        [{**line, "x": x, "rival": name} for line in result_lines(f"{name} {x}", [x * factor] * 3)]
        for name, factor in (("mvg", 0.8), ("unet", 0.5))
        for x in (0.1, 0.5, 1.0)
    ]
    (table,) = tables_of(tmp_path, *lines)
    assert [column.title for column in table.columns] == ["mvg", "unet"]
    assert [row.x for row in table.rows] == [0.1, 0.5, 1.0]
    assert table.title == "IoU, segmentation, by share of data"
    drawing = chart(table)
    assert "share of data (log scale)" in drawing.svg
    assert [name for _, name in drawing.legend] == ["mvg", "unet"]
    for color, _ in drawing.legend:
        (path,) = re.findall(rf'd="([^"]*)"[^>]*style="fill: none; stroke: {color}; stroke-width: 1.5', drawing.svg)
        points = np.array([point.split() for point in re.split("[ML]", path) if point], float)
        assert points.shape == (3, 2)
        assert (np.diff(points[:, 0]) > 0).all()
        assert (np.diff(points[:, 1]) < 0).all()  # higher on the page is a smaller y


def test_estimates_are_compared_with_dice(tmp_path: Path) -> None:
    dice, close = [0.1, 0.4, 0.6, 0.9], [0.2, 0.5, 0.5, 0.8]
    path = write_results(
        tmp_path,
        result_lines("mvg", dice, prompts=8, metric="Dice"),
        result_lines("mvg", close, prompts=8, metric="quality estimate"),
        result_lines("mvg", dice, prompts=1, metric="Dice"),
        result_lines("mvg", dice[::-1], prompts=1, metric="quality estimate"),
        result_lines("copy", dice, metric="Dice"),
    )
    (eight, one) = agreements(read_results(path))
    assert (eight.prompts, eight.cases, eight.gap) == (8, 4, pytest.approx(0.1))
    assert eight.correlation.mean == pytest.approx(0.9487, abs=1e-3)  # two ranks tie
    assert one.correlation.mean == pytest.approx(-1)
    assert "| mvg | 8 | 4 | 0.95" in tables_markdown(path)
    write_report(path, tmp_path / "page.html")
    assert "Do quality estimates" in (tmp_path / "page.html").read_text(encoding="utf-8")
