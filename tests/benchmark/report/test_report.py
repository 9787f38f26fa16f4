"""The result page: figures counted by hand, bold only what is sure, nothing left out silently."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mvg.benchmark.protocol.cases import EvalCase
from mvg.benchmark.protocol.method import Prompt
from mvg.benchmark.report.calibration import agreements
from mvg.benchmark.report.contact_sheet import ContactSheet
from mvg.benchmark.report.records import read_results
from mvg.benchmark.report.tables import Table, tables
from mvg.benchmark.report.write import tables_markdown, write_report
from mvg.data.case import Card
from mvg.errors import FileError, UnknownNameError
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks.kinds.segmentation import Segmentation

RNG = np.random.default_rng(0)
HEADER = {"suite": "made", "title": "Made <up>", "commit": "abc", "axis": "share of data"}
Lines = list[dict[str, Any]]


def lines(method: str, values: Sequence[float], name: str = "heads", prompts: int = 0, metric: str = "IoU") -> Lines:
    """One line per case, each of its own patient."""
    kind = "segmentation:MRI" if metric in ("IoU", "HD95", "Dice", "quality estimate") else "inpainting:T1"
    about = {"method": method, "set": name, "task": kind, "prompts": prompts, "shown": prompts, "scope": "generalist"}
    return [
        {**about, "case": f"c{n}", "patient": f"p{n}", "metric": metric, "region": "whole", "value": float(value)}
        for n, value in enumerate(values)
    ]


def written(folder: Path, *some: Lines) -> Path:
    path = folder / "results.jsonl"
    rows = [{"header": HEADER}, *(line for part in some for line in part)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def built(folder: Path, *some: Lines) -> list[Table]:
    return tables(read_results(written(folder, *some)))


def test_cells_are_means_of_cases_and_means_of_rows(tmp_path: Path) -> None:
    (table,) = built(
        tmp_path, lines("mvg", [0.2, 0.4], prompts=8), lines("mvg", [0.9], "hearts", 8), lines("unet", [0.5, 0.7])
    )
    assert [column.title for column in table.columns] == ["mvg, 8 prompts", "unet"]
    assert [(row.title, row.cases, row.patients) for row in table.rows] == [
        ("heads", 2, 2), ("hearts", 1, 1), ("mean", 3, 3),
    ]  # fmt: skip
    means = [[cell.said.mean if cell else None for cell in row.cells] for row in table.rows]
    assert means == [
        [pytest.approx(0.3), pytest.approx(0.6)], [pytest.approx(0.9), None], [pytest.approx(0.6), None],
    ]  # fmt: skip


def test_estimates_are_told_beside_dice(tmp_path: Path) -> None:
    dice, close = [0.1, 0.4, 0.6, 0.9], [0.2, 0.5, 0.5, 0.8]
    path = written(
        tmp_path,
        lines("mvg", dice, prompts=8, metric="Dice"),
        lines("mvg", close, prompts=8, metric="quality estimate"),
        lines("mvg", dice, prompts=1, metric="Dice"),
        lines("mvg", dice[::-1], prompts=1, metric="quality estimate"),
        lines("copy", dice, metric="Dice"),
    )
    (eight, one) = agreements(read_results(path))
    assert (eight.prompts, eight.cases, eight.gap) == (8, 4, pytest.approx(0.1))
    assert eight.over_all.mean == pytest.approx(0.9487, abs=1e-3)  # two ranks tie
    assert one.over_all.mean == pytest.approx(-1)
    text = tables_markdown(path)
    assert "| mvg | 8 | 4 | 0.95" in text
    write_report(path, tmp_path / "page.html")
    assert "Do quality estimates" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_seeds_are_averaged_case_by_case(tmp_path: Path) -> None:
    again = [{**line, "seed": 1} for line in lines("mvg", [0.4, 0.8])]
    (table,) = built(tmp_path, lines("mvg", [0.2, 0.4]), again)
    (row,) = table.rows
    assert row.cells[0] is not None
    assert (row.cases, row.cells[0].cases) == (2, 2)
    assert row.cells[0].said.mean == pytest.approx(0.45)
    assert row.cells[0].said.high == pytest.approx(0.6)
    assert "seeds 0, 1" in table.caption


def test_curves_of_learnt_and_of_unseen_sets_are_apart(tmp_path: Path) -> None:
    def at(x: float, value: float, name: str, unseen: bool) -> Lines:
        return [{**line, "x": x, "unseen": unseen} for line in lines("mvg", [value], name, 8)]

    found = built(
        tmp_path,
        at(1, 0.2, "heads", False),
        at(2, 0.4, "heads", False),
        at(1, 0.6, "hearts", True),
        at(2, 0.8, "hearts", True),
    )
    means = {table.title: [row.cells[0].said.mean for row in table.rows if row.cells[0]] for table in found}
    assert list(means.values()) == [[0.2, 0.4], [0.6, 0.8]]
    assert [title.endswith("unseen sets") for title in means] == [False, True]


@pytest.mark.parametrize(("metric", "sign"), [("IoU", 1), ("HD95", -1)])
def test_only_what_beats_every_other_for_sure_is_bold(tmp_path: Path, metric: str, sign: int) -> None:
    hard = RNG.uniform(0.4, 0.6, 12)
    noise = RNG.normal(0, 0.01, (2, 12))
    close = hard + sign * 0.1 + noise[0] + 0.01 * (-1) ** np.arange(12)  # better than "a" as often as worse
    clear = [lines("a", hard + sign * 0.1 + noise[0], metric=metric), lines("b", hard + noise[1], metric=metric)]
    (table,) = built(tmp_path, *clear)
    assert [cell and cell.best for cell in table.rows[0].cells] == [True, False]
    (table,) = built(tmp_path, *clear, lines("c", close, metric=metric))
    assert [cell and cell.best for cell in table.rows[0].cells] == [False, False, False]
    few = [part[:5] for part in clear]  # five patients cannot prove it
    assert [cell and cell.best for cell in built(tmp_path, *few)[0].rows[0].cells] == [False, False]
    assert [cell and cell.best for cell in built(tmp_path, clear[0])[0].rows[0].cells] == [False]


def test_holm_goes_over_the_rivals_of_a_row(tmp_path: Path) -> None:
    """Six patients give p = 2 / 64 at best: sure against one rival, not against two."""
    best, worse = lines("a", [0.9] * 6), [lines(name, [0.5] * 6) for name in "bc"]
    assert built(tmp_path, best, worse[0])[0].rows[0].cells[0].best  # type: ignore[union-attr]
    row = built(tmp_path, best, *worse)[0].rows[0]
    assert not row.cells[0].best  # type: ignore[union-attr]
    assert [cell.p for cell in row.cells if cell] == [None, 4 / 64, 4 / 64]


def test_sets_that_nothing_was_learnt_from_have_a_mean_of_their_own(tmp_path: Path) -> None:
    some = [lines("mvg", [value], name) for value, name in ((0.1, "a"), (0.3, "b"))]
    unseen = [
        [{**line, "unseen": True} for line in lines("mvg", [value], name)] for value, name in ((0.5, "c"), (1, "d"))
    ]
    (table,) = built(tmp_path, *some, *unseen)
    assert [row.title for row in table.rows][2:] == ["c (unseen)", "d (unseen)", "mean", "mean, unseen sets"]
    assert [row.cells[0].said.mean for row in table.rows[4:] if row.cells[0]] == pytest.approx([0.2, 0.75])


def test_regions_kinds_and_metrics_have_their_own_tables(tmp_path: Path) -> None:
    ours = lines("mvg", [20, 21], metric="PSNR")
    void = [{**line, "region": "void", "range": f"0 to {n} (percentiles)"} for n, line in enumerate(ours)]
    found = built(tmp_path, lines("mvg", [0.5]), void, ours)
    assert [table.title for table in found] == [
        "IoU, segmentation", "PSNR (dB), inpainting, void", "PSNR (dB), inpainting, whole image",
    ]  # fmt: skip
    for word in ("dB", "Region: void", "Intensity range: percentiles, by case", "scikit-image", "per case"):
        assert word in found[1].caption
    assert found[1].rows[0].title == "heads, T1"


def test_curves_are_drawn_by_series_along_x(tmp_path: Path) -> None:
    some = [
        [{**line, "x": x, "baseline": name} for line in lines(f"{name} {x}", [x * factor] * 3)]
        for name, factor in (("mvg", 0.8), ("unet", 0.5))
        for x in (0.1, 0.5, 1.0)
    ]
    (table,) = built(tmp_path, *some)
    assert [column.title for column in table.columns] == ["mvg", "unet"]
    assert [row.x for row in table.rows] == [0.1, 0.5, 1.0]
    assert table.title == "IoU, segmentation, by share of data"
    write_report(tmp_path, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<polyline") == 2
    assert "share of data (log scale)" in page
    prompts = [[{**line, "x": n} for line in lines("mvg", [0.1], prompts=n)] for n in (1, 8)]
    assert [column.title for column in built(tmp_path, *prompts)[0].columns] == ["mvg"]  # the axis counts prompts


def test_the_page_holds_everything_and_needs_nothing(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "pictures" / "segmentation.png")
    path = written(tmp_path, lines("<mvg>", [0.25, 0.75]), lines("unet", [np.nan, 0.5]))
    page = tmp_path / "new" / "page.html"
    write_report(path, page)
    text = page.read_text(encoding="utf-8")
    for word in (
        "Made &lt;up&gt;",
        "&lt;mvg&gt;",
        "0.500",
        "0.250 to 0.750",
        "abc",
        "<svg",
        "data:image/png;base64",
        "nan",
    ):
        assert word in text
    assert "<mvg>" not in text
    assert "http" not in text
    assert "<script" not in text
    assert list(page.parent.iterdir()) == [page]
    said = tables_markdown(path)
    assert "| heads | 2 (2) | 0.500 (0.250 to 0.750) | nan (nan to nan) |" in said
    assert "Made <up>" in said


def test_a_cell_of_fewer_cases_says_so(tmp_path: Path) -> None:
    assert "0.50 cases" not in tables_markdown(written(tmp_path, lines("a", [0.1, 0.2])))
    said = tables_markdown(written(tmp_path, lines("a", [0.1, 0.2]), lines("b", [0.5])))
    assert "0.500 (0.500 to 0.500, 1 cases)" in said


@pytest.mark.parametrize("text", ["", "nothing\n", "[1]\n", '{"header": {}}\n', '{"header": {}}\n{"method": "a"}\n'])
def test_files_without_results_are_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileError, match=r"results\.jsonl"):
        write_report(path, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_unknown_metrics_and_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="beauty"):
        tables_markdown(written(tmp_path, [{**line, "metric": "beauty"} for line in lines("a", [1])]))
    with pytest.raises(FileError, match=r"gone\.jsonl"):
        tables_markdown(tmp_path / "gone.jsonl")


def test_a_sheet_shows_every_method_beside_the_truth(tmp_path: Path) -> None:
    card = Card("made", "made", "MRI", "", ("T1",), {1: "thing"})
    labels = LabelMap(np.pad(np.ones((8, 8, 1), int), ((4, 4), (4, 4), (1, 1))), np.diag([-1.0, -1.0, 2.0, 1.0]))
    image = Volume(labels.voxels * 50.0, labels.affine)
    prompt = Prompt("a", "p", image, labels)
    task = Segmentation("segmentation:T1", card)
    question = EvalCase("made", task, card, "c", "q", image, labels, (prompt,), {"whole": None}, None, "")
    sheet = ContactSheet(tmp_path / "new" / "sheet.png")
    nothing = LabelMap(np.zeros_like(labels.voxels), labels.affine)
    sheet.add(question, {"a very long name that does not fit its picture at all": labels, "empty": nothing}, "first")
    sheet.add(question, {"right": labels}, "second")
    picture = np.asarray(Image.open(tmp_path / "new" / "sheet.png")).astype(int)
    assert picture.shape == (2 * 252, 6 * 220, 3)
    cells = [picture[32:252, 220 * n : 220 * (n + 1)] for n in range(6)]
    np.testing.assert_array_equal(cells[3], cells[4])  # truth and the right answer
    np.testing.assert_array_equal(cells[5], cells[2])  # an empty answer is the bare query
    assert (cells[3] != cells[2]).any()
    assert (picture[252 + 32 :, 5 * 220 :] == 0).all()
