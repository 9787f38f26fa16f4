"""Tables: means counted by hand, bold only what is significant, nothing left out silently."""

from pathlib import Path

import numpy as np
import pytest

from mvg.benchmark.report.write import tables_markdown
from tests.benchmark.report.result_files import Lines, result_lines, tables_of, write_results

RNG = np.random.default_rng(0)


def test_cells_are_means_of_cases_and_means_of_rows(tmp_path: Path) -> None:
    (table,) = tables_of(
        tmp_path,
        result_lines("mvg", [0.2, 0.4], prompts=8),
        result_lines("mvg", [0.9], "hearts", 8),
        result_lines("unet", [0.5, 0.7]),
    )
    assert [column.title for column in table.columns] == ["mvg, 8 prompts", "unet"]
    assert [(row.title, row.cases, row.patients) for row in table.rows] == [
        ("heads", 2, 2), ("hearts", 1, 1), ("mean", 3, 3),
    ]  # fmt: skip
    means = [[cell.interval.mean if cell else None for cell in row.cells] for row in table.rows]
    assert means == [
        [pytest.approx(0.3), pytest.approx(0.6)], [pytest.approx(0.9), None], [pytest.approx(0.6), None],
    ]  # fmt: skip
    assert table.summary_row is table.rows[2]


def test_seeds_are_averaged_case_by_case(tmp_path: Path) -> None:
    second_seed = [{**line, "seed": 1} for line in result_lines("mvg", [0.4, 0.8])]
    (table,) = tables_of(tmp_path, result_lines("mvg", [0.2, 0.4]), second_seed)
    (row,) = table.rows
    assert row.cells[0] is not None
    assert (row.cases, row.cells[0].cases) == (2, 2)
    assert row.cells[0].interval.mean == pytest.approx(0.45)
    assert row.cells[0].interval.high == pytest.approx(0.6)
    assert "seeds 0, 1" in table.caption


def test_curves_of_trained_and_of_unseen_sets_are_apart(tmp_path: Path) -> None:
    def point(x: float, value: float, name: str, unseen: bool) -> Lines:
        return [{**line, "x": x, "unseen": unseen} for line in result_lines("mvg", [value], name, 8)]

    tables = tables_of(
        tmp_path,
        point(1, 0.2, "heads", False),
        point(2, 0.4, "heads", False),
        point(1, 0.6, "hearts", True),
        point(2, 0.8, "hearts", True),
    )
    means = {table.title: [row.cells[0].interval.mean for row in table.rows if row.cells[0]] for table in tables}
    assert list(means.values()) == [[0.2, 0.4], [0.6, 0.8]]
    assert [title.endswith("unseen sets") for title in means] == [False, True]


@pytest.mark.parametrize(("metric", "sign"), [("IoU", 1), ("HD95", -1)])
def test_only_what_is_significantly_better_than_every_other_is_bold(tmp_path: Path, metric: str, sign: int) -> None:
    base = RNG.uniform(0.4, 0.6, 12)
    noise = RNG.normal(0, 0.01, (2, 12))
    close = base + sign * 0.1 + noise[0] + 0.01 * (-1) ** np.arange(12)  # better than "a" as often as worse
    clear = [
        result_lines("a", base + sign * 0.1 + noise[0], metric=metric),
        result_lines("b", base + noise[1], metric=metric),
    ]

    def is_bold(*parts: Lines) -> list[bool]:
        return [bool(cell and cell.best) for cell in tables_of(tmp_path, *parts)[0].rows[0].cells]

    assert is_bold(*clear) == [True, False]
    assert is_bold(*clear, result_lines("c", close, metric=metric)) == [False, False, False]
    assert is_bold(*(part[:5] for part in clear)) == [False, False]  # five patients are too few
    assert is_bold(clear[0]) == [False]


def test_holm_corrects_for_the_other_columns_of_a_row(tmp_path: Path) -> None:
    """Six patients give p = 2 / 64 at best: significant against one other column, not against two."""
    best, worse = result_lines("a", [0.9] * 6), [result_lines(name, [0.5] * 6) for name in "bc"]
    assert tables_of(tmp_path, best, worse[0])[0].rows[0].cells[0].best  # type: ignore[union-attr]
    row = tables_of(tmp_path, best, *worse)[0].rows[0]
    assert not row.cells[0].best  # type: ignore[union-attr]
    assert [cell.p for cell in row.cells if cell] == [None, 4 / 64, 4 / 64]


def test_unseen_sets_have_a_mean_of_their_own(tmp_path: Path) -> None:
    trained = [result_lines("mvg", [value], name) for value, name in ((0.1, "a"), (0.3, "b"))]
    unseen = [
        [{**line, "unseen": True} for line in result_lines("mvg", [value], name)]
        for value, name in ((0.5, "c"), (1, "d"))
    ]
    (table,) = tables_of(tmp_path, *trained, *unseen)
    assert [row.title for row in table.rows][2:] == ["c (unseen)", "d (unseen)", "mean", "mean, unseen sets"]
    assert [row.cells[0].interval.mean for row in table.rows[4:] if row.cells[0]] == pytest.approx([0.2, 0.75])


def test_regions_kinds_and_metrics_have_their_own_tables(tmp_path: Path) -> None:
    whole = result_lines("mvg", [20, 21], metric="PSNR")
    void = [{**line, "region": "void", "range": f"0 to {n} (percentiles)"} for n, line in enumerate(whole)]
    tables = tables_of(tmp_path, result_lines("mvg", [0.5]), void, whole)
    assert [table.title for table in tables] == [
        "IoU, segmentation", "PSNR (dB), inpainting, void", "PSNR (dB), inpainting, whole image",
    ]  # fmt: skip
    for words in ("dB", "Region: void", "Intensity range: percentiles, by case", "scikit-image", "per case"):
        assert words in tables[1].caption
    assert tables[1].rows[0].title == "heads, T1"


def test_a_curve_whose_axis_counts_prompts_is_one_line(tmp_path: Path) -> None:
    lines = [[{**line, "x": n} for line in result_lines("mvg", [0.1], prompts=n)] for n in (1, 8)]
    assert [column.title for column in tables_of(tmp_path, *lines)[0].columns] == ["mvg"]


def test_a_cell_of_fewer_cases_says_so(tmp_path: Path) -> None:
    complete = tables_markdown(write_results(tmp_path, result_lines("a", [0.1, 0.2])))
    assert "cases)" not in complete
    text = tables_markdown(write_results(tmp_path, result_lines("a", [0.1, 0.2]), result_lines("b", [0.5])))
    assert "0.500 (0.500 to 0.500, 1 cases)" in text
