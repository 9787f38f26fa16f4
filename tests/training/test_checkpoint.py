"""Checkpoints: those of other runs, programs and versions are errors, the others are resumed."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mvg.errors import FileError, RecipeError
from mvg.training import checkpoint
from mvg.training import train as training
from mvg.training.checkpoint import TrainState, averaged
from mvg.training.launch import RunLocation
from mvg.training.optimizers import optimizers_for
from mvg.training.recipe import Recipe
from mvg.training.train import train
from tests.training.conftest import Killed, Make, run


def test_a_run_is_resumed_only_with_its_own_optimizer(make_recipe: Make, tmp_path: Path) -> None:
    run(make_recipe(optimizer={"name": "muon"}), tmp_path)
    with pytest.raises(RecipeError, match="another optimizer"):
        train(make_recipe(schedule={"steps": 9}), RunLocation(tmp_path, "cpu"))


def test_a_resumed_run_uses_the_settings_of_its_recipe(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(make_recipe(schedule={"steps": 1}), tmp_path)
    made: list[Any] = []
    monkeypatch.setattr(training, "optimizers_for", lambda *settings: made.extend(optimizers_for(*settings)) or made)
    run(make_recipe(schedule={"steps": 2}, optimizer={"weight_decay": 0.3}), tmp_path)
    assert [group["weight_decay"] for group in made[0].param_groups] == [0.3, 0.0]
    assert {int(state["step"]) for state in made[0].state.values()} == {2}


def test_a_checkpoint_with_old_keys_can_be_read(make_recipe: Make, tmp_path: Path) -> None:
    run(make_recipe(schedule={"steps": 1}), tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["about"]["recipe"]["episodes"] = {"classes": 3, "an old key": 1}
    torch.save(state, tmp_path / "checkpoint.pt")
    assert averaged(tmp_path / "checkpoint.pt")[0].config == make_recipe().model


AVERAGED = {"checkpoint_state": "averaged", "checkpoint_minutes": 0.0}


def test_a_run_goes_on_from_its_averaged_weights(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(schedule={"steps": 4, **AVERAGED})
    run(recipe, tmp_path, kill_after=3)
    assert {path.name.split("-")[1] for path in tmp_path.glob("averaged-*")} == {"2"}, "older files are removed"
    before = averaged(tmp_path / "checkpoint.pt")[0].state_dict()
    begun: list[dict[str, torch.Tensor]] = []
    original = training.resume

    def noted(path: Path, recipe: Recipe, state: TrainState, device: torch.device) -> None:
        original(path, recipe, state, device)
        states = (module.state_dict() for module in (state.model, state.averaged_model))
        begun.extend({name: tensor.clone() for name, tensor in one.items()} for one in states)

    monkeypatch.setattr(training, "resume", noted)
    assert len(run(recipe, tmp_path)) == 2, "steps 3 and 4"
    assert all(torch.equal(tensor, state[name]) for state in begun for name, tensor in before.items())


def test_a_checkpoint_whose_files_are_not_all_there_is_an_error(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(schedule={"steps": 1, **AVERAGED})
    run(recipe, tmp_path)
    (file,) = tmp_path.glob("averaged-*")
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], None):
        file.unlink()
        if damaged is not None:
            file.write_bytes(damaged)
        with pytest.raises(FileError, match=r"cannot read .*averaged-1-0.*; copy all files of the run again"):
            run(recipe, tmp_path)


def test_a_run_that_is_killed_while_it_writes_keeps_its_last_checkpoint(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(schedule={"steps": 4, **AVERAGED})
    run(recipe, tmp_path, kill_after=3)

    def killed(_path: Path, _content: object) -> None:
        raise Killed

    monkeypatch.setattr(checkpoint, "_write", killed)
    run(recipe, tmp_path)
    assert averaged(tmp_path / "checkpoint.pt")[1]["step"] == 2


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Files may not grow beyond `size` bytes: what a full disk does to a writer."""
    handler, (soft, hard) = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size", [20_000, 100_000])
@pytest.mark.parametrize("schedule", [{}, AVERAGED])
def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(
    schedule: dict[str, Any], size: int, make_recipe: Make, tmp_path: Path
) -> None:
    run(make_recipe(schedule={"steps": 1, **schedule}), tmp_path)
    with full_disk(size), pytest.raises(FileError, match=r"could not be written .*; free space and use --resume"):
        run(make_recipe(schedule={"steps": 2, **schedule}), tmp_path)
    assert averaged(tmp_path / "checkpoint.pt")[1]["step"] == 1
    assert len(run(make_recipe(schedule={"steps": 2, **schedule}), tmp_path)) == 1


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"PK\x03\x04 torn"])
def test_other_files_are_errors(make_recipe: Make, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(FileError, match=r"cannot read .*checkpoint\.pt"):
        averaged(tmp_path / "checkpoint.pt")
    with pytest.raises(FileError, match="remove it to start anew"):
        run(make_recipe(), tmp_path)
    torch.save({"something": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(FileError, match="something else"):
        averaged(tmp_path / "checkpoint.pt")
    with pytest.raises(FileError, match="cannot read"):
        averaged(tmp_path / "none.pt")


def test_a_folder_of_another_model_is_not_resumed(make_recipe: Make, tmp_path: Path) -> None:
    run(make_recipe(schedule={"steps": 1}), tmp_path)
    with pytest.raises(RecipeError, match="another model"):
        run(make_recipe(model={"fine": 12}), tmp_path)


def test_a_checkpoint_from_before_a_key_of_the_model_is_of_its_default(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(schedule={"steps": 1})
    run(recipe, tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del state["about"]["recipe"]["model"]["drop_path"]
    torch.save(state, tmp_path / "checkpoint.pt")
    assert len(run(replace(recipe, schedule=replace(recipe.schedule, steps=2)), tmp_path)) == 1


def test_tensors_of_another_version_are_an_error(make_recipe: Make, tmp_path: Path) -> None:
    run(make_recipe(schedule={"steps": 1}), tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    name = "form.ridge.log_ridge_penalty"
    for part in ("average", "optimizers"):
        broken = dict(state)
        if part == "average":
            broken["average"] = {**state["average"], name: state["average"][name][:1]}
        else:
            first, second = state["optimizers"][0]["param_groups"]
            moved = {**first, "params": [*first["params"], second["params"][0]]}
            broken["optimizers"] = [
                {**state["optimizers"][0], "param_groups": [moved, {**second, "params": second["params"][1:]}]}
            ]
        torch.save(broken, tmp_path / "checkpoint.pt")
        with pytest.raises(FileError, match="another version"):
            run(make_recipe(schedule={"steps": 2}), tmp_path)
        if part == "average":
            with pytest.raises(FileError, match="another version"):
                averaged(tmp_path / "checkpoint.pt")
