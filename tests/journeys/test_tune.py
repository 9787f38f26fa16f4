"""Tuning on the prompts, before a prediction or into a task file."""

import shutil
from pathlib import Path

import pytest

import mvg
from tests.journeys.conftest import Run


def test_predict_after_tuning(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    done = run("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--output", tmp_path / "out",
               "--weights", weights, "--tune", 1)  # fmt: skip
    assert done.code == 0, done.err
    assert "by cross-validation over" in done.err
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


def test_a_task_is_written_into_the_working_folder_and_can_be_used(
    run: Run, user: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = run("finetune", user / "prompts", "--output", ".", "--weights", weights, "--minutes", 0.1, "-q")
    assert (done.code, done.out, done.err) == (0, "", ""), "random weights are easy to improve"
    card = (tmp_path / "here" / "card.md").read_text(encoding="utf-8")
    assert card.startswith("# here, tuned")
    assert "by cross-validation over" in card
    predicted = run("predict", user / "scan.nii.gz", "--prompts", "task.mvgtask", "--output", tmp_path / "out")
    assert predicted.code == 0, predicted.err
    plain = run("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--output", tmp_path / "plain",
                "--weights", weights)  # fmt: skip
    assert plain.code == 0
    tuned, untuned = (mvg.read_labels(tmp_path / name / "scan.nii.gz").voxels for name in ("out", "plain"))
    assert (tuned != untuned).any()
    again = run("finetune", user / "prompts", "--output", ".", "--weights", weights, "--minutes", 0.05)
    assert again.code == 2
    assert "exists already" in again.err


def test_what_a_killed_run_left_does_not_refuse_the_next_one(
    run: Run, user: Path, weights: Path, tmp_path: Path
) -> None:
    tuned = tmp_path / "tuned"
    (tuned / ".writing-host-999999-x").mkdir(parents=True)
    (tuned / "card.md").write_text("that were trained by `mvg finetune`")
    done = run("finetune", user / "prompts", "--output", tuned, "--weights", weights, "--minutes", 0.1, "-q")
    assert done.code == 0, done.err
    assert (tuned / "task.mvgtask").is_file()
    (tuned / "task.mvgtask").unlink()
    (tuned / "card.md").write_text("of somebody else")
    refused = run("finetune", user / "prompts", "--output", tuned, "--weights", weights, "--minutes", 0.1)
    assert refused.code == 2
    assert (tuned / "card.md").read_text() == "of somebody else"


def test_one_pair_is_refused_in_one_line(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    first, *others = sorted((user / "prompts" / "images").iterdir())
    assert others
    for kind in ("images", "targets"):
        (tmp_path / "one" / kind).mkdir(parents=True)
        for path in (user / "prompts" / kind).glob(f"{first.name.split('.')[0]}*"):
            shutil.copy(path, tmp_path / "one" / kind)
    done = run("finetune", tmp_path / "one", "--output", tmp_path / "tuned", "--weights", weights, "--minutes", 60)
    assert done.code == 1
    assert "one annotated volume" in done.err
    assert not (tmp_path / "tuned").exists()


def test_a_tuned_task_can_be_saved(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    saved = tmp_path / "task.mvgtask"
    done = run("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--output", tmp_path / "out",
               "--weights", weights, "--tune", 5, "--save-task", saved)  # fmt: skip
    assert done.code == 0, done.err
    assert mvg.load_task(saved).adapter is not None
    again = run("predict", user / "scan.nii.gz", "--prompts", saved, "--output", tmp_path / "again")
    assert again.code == 0
    first, second = (mvg.read_labels(tmp_path / name / "scan.nii.gz").voxels for name in ("out", "again"))
    assert (first == second).all()


def test_nothing_is_tuned_for_weights_that_cannot_be_written(
    run: Run, user: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    done = run("finetune", user / "prompts", "--output", tmp_path / "file" / "tuned", "--weights", weights,
               "--minutes", 60)  # fmt: skip
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1
    assert "nothing can be written" in done.err
