"""`mvg weights`: packed, installed, listed, used by id."""

from pathlib import Path

import pytest
import torch

from mvg.model.weights import describe_weights, load_weights
from tests.data.folders import make_mri
from tests.journeys.conftest import Run
from tests.model.test_pretrained import color_state


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


@pytest.mark.parametrize(("command", "part"), [("fusion", "fusion"), ("through-plane", "through_plane")])
def test_networks_are_fitted_for_weights(
    command: str, part: str, run: Run, user: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvg.app.fusion._SAMPLES", 4)
    make_mri(tmp_path / "heads", dict.fromkeys(("p1", "p2"), (24, 20, 12)))
    fitted = tmp_path / "fitted"
    result = run("weights", command, tmp_path / "heads", "--weights", weights, "--output", fitted, "--minutes", 0.02)
    assert (result.code, result.err) == (0, "")
    assert result.out.strip() == str(fitted)
    assert getattr(load_weights(fitted), part) is not None
    assert "in the training patients of: heads." in run("weights", "show", fitted).out
    again = run("weights", command, tmp_path / "heads", "--weights", weights, "--output", fitted)
    assert (again.code, again.out) == (2, "")
    assert "exists already" in again.err


@pytest.mark.parametrize("command", ["fusion", "through-plane"])
def test_fitting_needs_labeled_volumes(command: str, run: Run, weights: Path, tmp_path: Path) -> None:
    make_mri(tmp_path / "films", dict.fromkeys(("p1", "p2"), (24, 20, 1)))
    result = run("weights", command, tmp_path / "films", "--weights", weights, "--output", tmp_path / "fused")
    assert (result.code, result.out) == (2, "")
    assert "no labeled volume in the sets" in result.err
    assert not (tmp_path / "fused").exists()


def test_features_of_photographs_are_added_to_weights(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    make_mri(tmp_path / "heads", dict.fromkeys(("p1", "p2", "p3", "p4"), (24, 20, 6)))
    assert run("prepare", tmp_path / "heads", "--output", tmp_path / "store").code == 0
    torch.save(color_state(), tmp_path / "trunk.pth")
    wide = tmp_path / "wide"
    command = ("weights", "imagenet", tmp_path / "trunk.pth", "--weights", weights, "--store", tmp_path / "store",
               "--output", wide, "--width", 6)  # fmt: skip
    result = run(*command)
    assert (result.code, result.out.strip()) == (0, str(wide))
    assert describe_weights(wide).config.as_dict()["pretrained"] == 6
    assert "Apache License 2.0" in run("weights", "show", wide).out
    common = ("--prompts", user / "prompts", "--output", tmp_path / "out", "--weights", wide)
    assert run("predict", user / "scan.nii.gz", *common).code == 0
    again = run(*command)
    assert (again.code, again.out) == (2, "")
    assert "exists already" in again.err
