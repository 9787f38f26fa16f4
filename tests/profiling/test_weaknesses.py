"""What the program about weaknesses measures, and its page."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from profiling.weaknesses import Row, main, measure, page
from tests.data.folders import apart, make_mri


def disc(radius: float, slices: int = 4, side: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side] - side // 2
    return np.broadcast_to(rows**2 + columns**2 <= radius**2, (slices, side, side)).copy()


def test_exact_prediction_has_no_errors_and_the_looks_of_its_truth() -> None:
    truth = disc(10)
    measured = measure(np.where(truth, 1.0, 0.0).astype(np.float32), truth, truth)
    assert measured["iou"] == 1
    assert (measured["ends"], measured["rim"]) == (0, 0)
    assert measured["share"] == pytest.approx(np.pi * 100 / 64**2, rel=0.05)
    assert measured["width"] == pytest.approx(2 * 10 * 128 / 64, rel=0.1)
    assert measured["contrast"] > 2


def test_slices_that_only_one_side_shows_are_ends() -> None:
    truth, predicted = disc(10), disc(10)
    truth[0] = False
    measured = measure(np.zeros(truth.shape, np.float32), truth, predicted)
    assert (measured["ends"], measured["rim"]) == (1, 0)
    assert measured["iou"] == pytest.approx(3 / 4)


def test_a_slightly_larger_prediction_errs_at_the_rim_and_a_far_one_does_not() -> None:
    truth = disc(10)
    assert measure(np.zeros(truth.shape, np.float32), truth, disc(10.5))["rim"] == 1
    far = truth.copy()
    far[:, :4, :4] = True
    assert measure(np.zeros(truth.shape, np.float32), truth, far)["rim"] == 0


def test_contrast_falls_with_the_difference_to_the_surroundings() -> None:
    truth, noise = disc(10), np.random.default_rng(0).normal(size=(4, 64, 64)).astype(np.float32)
    strong, weak = (measure(noise + factor * truth, truth, truth)["contrast"] for factor in (3.0, 0.3))
    assert strong > 3 * weak


def test_page_groups_labels_and_names_the_worst(tmp_path: Path) -> None:
    rows = [
        Row("set", f"label {number}", "p1", f"case{case}", number / 16, number / 100, number, 16 - number, 0.5, 0.25)
        for number in range(16)
        for case in range(2)
    ]
    header = {"command": "python -m profiling.weaknesses DATA", "commit": "0" * 40, "seed": 0, "date": "2026-01-01"}
    lines = [{"header": header}, *map(asdict, rows)]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    text = page(tmp_path / "labels.jsonl")
    assert "| width in pixels of 128 | 1.00 |" in text
    assert "| width in pixels of 128, lowest quarter | 4 | 0.094" in text
    assert text.index("| set | label 0 |") < text.index("| set | label 1 |")


def test_program_writes_a_line_per_label_and_a_picture_per_set(tmp_path: Path) -> None:
    cases = {f"pat{number}": (32, 32, 4) for number in range(6, 13)}
    make_mri(tmp_path / "data" / "heads", cases, shifts=apart(cases))
    main([str(tmp_path / "data"), "--output", str(tmp_path / "out"), "--cases", "1", "--slices", "4"])
    lines = (tmp_path / "out" / "labels.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0])["header"]["seed"] == 0
    row = Row(**json.loads(lines[1]))
    assert row.set == "heads"
    assert 0 <= row.iou <= 1
    assert (tmp_path / "out" / "pictures" / "heads.png").is_file()
