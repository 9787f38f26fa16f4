"""The program that fits and measures the quality estimate."""

import json
from pathlib import Path

import pytest

from mvg.prediction.quality import EXPONENT, quality_of
from profiling.quality import agreement, estimate, fitted, main
from tests.data.folders import apart, make_mri
from tests.prediction.test_quality import prediction


def test_fit_finds_the_exponent_and_agreement_is_that_of_other_sets() -> None:
    sets = {
        name: [([sure, sure], sure**power) for sure in (0.5, 0.6, 0.7, 0.8, 0.9)]
        for name, power in (("one", 2.0), ("two", 2.0), ("three", 3.0))
    }
    assert fitted([sets["one"], sets["two"]]) == pytest.approx(2, abs=0.01)
    results = agreement(sets)
    assert results["sets"]["three"]["exponent_of_other_sets"] == pytest.approx(2, abs=0.01)
    assert results["sets"]["three"]["absolute_error"] > 0.05
    assert results["mean"]["rank_correlation"] == pytest.approx(1)


def test_estimate_is_that_of_predictions() -> None:
    results = quality_of(prediction({1: 0.8, 2: 0.4}))
    assert results is not None
    assert estimate([0.8, 0.4], EXPONENT) == pytest.approx(results.mean)


def test_program_writes_its_result(tmp_path: Path) -> None:
    cases = {f"pat{number}": (32, 32, 2) for number in range(40)}
    make_mri(tmp_path / "data" / "heads", cases, shifts=apart(cases))
    output = tmp_path / "quality.json"
    main([str(tmp_path / "data"), "--slices", "2", "--output", str(output)])
    results = json.loads(output.read_text(encoding="utf-8"))
    assert results["sets"]["heads"]["cases"] >= 5
    assert results["exponent_in_use"] == EXPONENT
