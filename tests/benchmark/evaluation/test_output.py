"""The files of an evaluation: two tables, and a page that refers to nothing outside of it."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvg.benchmark.evaluation import Evaluation, evaluate, write_evaluation
from mvg.benchmark.evaluation.page import case_rows
from mvg.benchmark.evaluation.thumbnails import thumbnails
from mvg.errors import FileError
from mvg.imaging.volume import LabelMap, Volume
from tests.benchmark.evaluation.test_evaluate import put, worse
from tests.prediction.scans import scan


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    """Three cases, of which the last has no label on either side; images of the first alone."""
    for number in range(3):
        image, labels = scan((32, 32, 4), seed=number)
        if number == 2:
            labels = replace(labels, voxels=0 * labels.voxels)
        put(labels, tmp_path / "truths" / f"case{number}.nii.gz")
        put(worse(labels, 3 * number), tmp_path / "predictions" / f"case{number}.nii.gz")
        if number == 0:
            put(image, tmp_path / "images" / "case0_0000.nii.gz")
    return evaluate(tmp_path / "predictions", tmp_path / "truths", tmp_path / "images")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_tables(evaluation: Evaluation, tmp_path: Path) -> None:
    results, summary, _ = write_evaluation(evaluation, tmp_path)
    rows = rows_of(results)
    assert [(row["case"], row["label"]) for row in rows] == [
        ("case0", "3"), ("case0", "700"), ("case1", "3"), ("case1", "700"), ("case2", ""),
    ]  # fmt: skip
    assert rows[-1]["dice"] == "1"
    assert rows[-1]["true_ml"] == ""
    for part, case in (("3", "case0"), ("700", "case1")):
        (scores,) = [one.scores for one in evaluation.cases if one.name == case]
        (figures,) = [one.figures for one in scores.parts if str(one.part) == part]
        (row,) = [row for row in rows if (row["case"], row["label"]) == (case, part)]
        measured = [float(row[one.key]) for one in evaluation.quantities]
        assert measured == pytest.approx(figures, rel=1e-5)
    means = rows_of(summary)
    assert [row["label"] for row in means] == ["3", "700", "all labels"]
    assert [row["cases"] for row in means] == ["2", "2", "3"]
    assert [row["true_ml"] == "" for row in means] == [False, False, True], "volumes of all labels have no mean"
    dice = [float(row["dice"]) for row in rows if row["label"] == "3"]
    assert float(means[0]["dice"]) == pytest.approx(np.mean(dice), rel=1e-5)
    assert float(means[0]["dice_low"]) <= float(means[0]["dice"]) <= float(means[0]["dice_high"])


def test_the_page_is_whole_and_shows_the_worst_first(evaluation: Evaluation, tmp_path: Path) -> None:
    *_, page = write_evaluation(evaluation, tmp_path)
    html = page.read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)
    assert html.count("<svg ") == 4
    titles = [f"case{1 - number}" for number in range(2)]  # their worst labels first, then the others
    assert [one.title for one in thumbnails(evaluation)[:2]] == titles
    assert html.count('src="data:image/png;base64,') == 4, "a case without labels has no picture"
    rows = list(case_rows(evaluation))
    assert [float(row.texts[0]) for row in rows] == sorted(float(row.texts[0]) for row in rows)
    assert rows[-1].part == "no label on either side"
    assert "prefers-color-scheme: dark" in html


def test_pictures_of_pictures(tmp_path: Path) -> None:
    image, _ = scan((32, 32, 4))
    put(image, tmp_path / "truth.nii.gz")
    put(Volume(image.voxels + 5.25, image.affine), tmp_path / "prediction.nii.gz")
    evaluation = evaluate(tmp_path / "prediction.nii.gz", tmp_path / "truth.nii.gz")
    *_, page = write_evaluation(evaluation, tmp_path)
    assert page.read_text(encoding="utf-8").count('src="data:image/png;base64,') == 1


def test_a_single_case_has_no_intervals_on_the_page(tmp_path: Path) -> None:
    _, labels = scan((32, 32, 1))
    put(LabelMap(labels.voxels, labels.affine), tmp_path / "a.nii.gz")
    *_, page = write_evaluation(evaluate(tmp_path / "a.nii.gz", tmp_path / "a.nii.gz"), tmp_path)
    html = page.read_text(encoding="utf-8")
    assert " to " not in html.split("<section")[1]
    assert "<svg " not in html
    assert html.count('src="data:image/png;base64,') == 2, "both labels"


def test_an_output_that_is_no_folder_is_refused(evaluation: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="could not be written"):
        write_evaluation(evaluation, tmp_path / "file")
