"""Tuning on the prompts, before a prediction or into weights of one's own."""

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


def test_nothing_is_learnt_for_what_cannot_be_asked(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    common = ("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--weights", weights, "--tune", 3600)
    for more in (("--strategy", "nearest"), ("--reject", 5), ("--seed", -1), ("--task", "denoising", "--quality")):
        done = run(*common, "--output", tmp_path / "out", *more)
        assert done.code == 2
    over = run(*common, "--output", user)
    assert over.code == 2
    assert "would overwrite" in over.err


def test_weights_are_tuned_into_the_folder_that_one_is_in(
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
    own = tmp_path / "own"
    done = run("finetune", user / "prompts", "--output", own, "--weights", weights, "--minutes", 0.05)
    assert done.code == (0 if own.exists() else 1), done.err
    assert own.exists(), "random weights are easily bettered"
    assert "tuned" in (own / "card.md").read_text(encoding="utf-8")
    assert mvg.load(own).model.config == mvg.load(weights).model.config
    again = run("finetune", user / "prompts", "--output", own, "--weights", weights, "--minutes", 0.05)
    assert again.code == 2
    assert "is there already" in again.err


def test_a_tuned_task_cannot_be_saved_without_its_weights(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    done = run("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--output", tmp_path / "out",
               "--weights", weights, "--tune", 1, "--save-task", tmp_path / "task.mvgtask")  # fmt: skip
    assert done.code == 2
    assert "--save-task with --tune" in done.err
    assert not (tmp_path / "out").exists()


def test_nothing_is_learnt_for_weights_that_cannot_be_written(
    run: Run, user: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    done = run("finetune", user / "prompts", "--output", tmp_path / "file" / "own", "--weights", weights,
               "--minutes", 60)  # fmt: skip
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1
    assert "nothing can be written" in done.err


def test_one_answer_has_no_uncertainty(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    done = run("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--output", tmp_path / "out",
               "--weights", weights, "--uncertainty", "--ensemble", 1)  # fmt: skip
    assert done.code == 2
    assert "--ensemble 1" in done.err
    assert not (tmp_path / "out").exists()
