"""Tuning on the prompts, before a prediction or into new weights."""

from pathlib import Path

import pytest

import mvg
from tests.journeys.conftest import Run


def test_predict_after_tuning(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    done = run("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--output", tmp_path / "out",
               "--weights", weights, "--tune", 1)  # fmt: skip
    assert done.code == 0, done.err
    assert "tuning took" in done.err
    assert (tmp_path / "out" / "scan.nii.gz").is_file()


def test_nothing_is_tuned_for_impossible_requests(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    common = ("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--weights", weights, "--tune", 3600)
    for more in (
        ("--strategy", "nearest"),
        ("--min-probability", 5),
        ("--seed", -1),
        ("--task", "denoising", "--quality"),
    ):
        done = run(*common, "--output", tmp_path / "out", *more)
        assert done.code == 2
    over = run(*common, "--output", user)
    assert over.code == 2
    assert "would overwrite" in over.err


def test_weights_are_written_into_the_working_folder(
    run: Run, user: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = run("finetune", user / "prompts", "--output", ".", "--weights", weights, "--minutes", 0.05, "-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert (tmp_path / "here" / "card.md").read_text(encoding="utf-8").startswith("# here, tuned")


def test_tuned_weights_are_written_where_they_help_and_can_be_used(
    run: Run, user: Path, weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "tuned"
    done = run("finetune", user / "prompts", "--output", folder, "--weights", weights, "--minutes", 0.05)
    assert done.code == (0 if folder.exists() else 1), done.err
    assert folder.exists(), "random weights are easy to improve"
    assert "tuned" in (folder / "card.md").read_text(encoding="utf-8")
    assert mvg.load(folder).model.config == mvg.load(weights).model.config
    again = run("finetune", user / "prompts", "--output", folder, "--weights", weights, "--minutes", 0.05)
    assert again.code == 2
    assert "exists already" in again.err


def test_a_tuned_task_cannot_be_saved_without_its_weights(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    done = run("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--output", tmp_path / "out",
               "--weights", weights, "--tune", 1, "--save-task", tmp_path / "task.mvgtask")  # fmt: skip
    assert done.code == 2
    assert "--save-task with --tune" in done.err
    assert not (tmp_path / "out").exists()


def test_nothing_is_tuned_for_weights_that_cannot_be_written(
    run: Run, user: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    done = run("finetune", user / "prompts", "--output", tmp_path / "file" / "tuned", "--weights", weights,
               "--minutes", 60)  # fmt: skip
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1
    assert "nothing can be written" in done.err
