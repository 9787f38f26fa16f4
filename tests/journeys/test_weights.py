"""`mvg weights`: packed, installed, listed, used by id."""

from pathlib import Path

import pytest

from tests.journeys.conftest import Run


def test_packed_installed_listed_and_used(
    run: Run, user: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "installed"
    monkeypatch.setattr("mvg.model.weights.INSTALLED", folder)
    monkeypatch.setattr("mvg.model.installed.INSTALLED", folder)
    file = tmp_path / "toy.mvgweights"
    assert run("weights", "pack", weights, file).code == 0
    result = run("weights", "install", file)
    assert (result.code, result.err) == (0, "")
    assert result.out.split() == ["toy", str(folder / "toy")]
    listed = run("weights", "list").out
    assert "tiny" in listed
    assert "toy" in listed
    common = ("--prompts", user / "prompts", "--output", tmp_path / "out", "--weights", "toy")
    assert run("predict", user / "scan.nii.gz", *common).code == 0


def test_a_missing_file_is_one_line(run: Run, tmp_path: Path) -> None:
    result = run("weights", "install", tmp_path / "none.mvgweights")
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert "mvg weights pack" in result.err
