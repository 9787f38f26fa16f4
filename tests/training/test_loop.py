"""Runs: resumed exactly, stopped in time, on one process or several, and what they leave behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mvg.errors import FileProblem, RecipeProblem, UnknownName
from mvg.model.generalist import Generalist
from mvg.model.weights import load_weights, save_weights
from mvg.training import loop
from mvg.training.curves import Progress
from mvg.training.loop import Where, averaged, rate_at, train
from mvg.training.recipe import Recipe, recipe_from
from tests.training.conftest import Make

# One step of each, in turn, whatever the drawn kind of task.
EVERY = dict.fromkeys(("autoregressive", "masked", "pretraining", "whole_query"), 0.25)


class Killed(BaseException):
    """What stands for a lost machine."""


def run(
    recipe: Recipe,
    folder: Path,
    kill_after: int | None = None,
    validate: Callable[[Generalist, Path, int], dict[str, float]] | None = None,
) -> list[float]:
    """The losses of a run; it dies right after step `kill_after`."""
    losses: list[float] = []

    def watch(progress: Progress, loss: float, done: float) -> None:
        losses.append(loss)
        if progress.step == kill_after:
            raise Killed

    with suppress(Killed):
        train(recipe, Where(folder, "cpu"), validate, watch)
    return losses


@pytest.mark.parametrize(
    ("form", "precision", "optimizer"),
    [("matching", "bf16-mixed", "adamw"), ("matching", "bf16-mixed", "muon"), ("merged", "32-true", "adamw")],
)
def test_a_killed_run_goes_on_with_the_very_same_losses(
    make_recipe: Make, tmp_path: Path, form: str, precision: str, optimizer: str
) -> None:
    settings = {
        "schedule": {"checkpoint": 0.0},
        "optimizer": {"name": optimizer},
        "objectives": {"labels": EVERY, "image": EVERY},
        "precision": precision,
    }
    recipe = make_recipe(form, model={"drop_path": 0.2}, **settings)
    whole = run(recipe, tmp_path / "whole")
    before = run(recipe, tmp_path / "killed", kill_after=4)  # dies before step 4 is saved
    after = run(recipe, tmp_path / "killed")
    assert len(whole) == 6
    assert before[:3] + after == whole
    one, two = (averaged(tmp_path / name / "checkpoint.pt")[0].state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_curves_of_a_resumed_run_have_every_point_once(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(schedule={"checkpoint": 0.0, "log": 1})
    run(recipe, tmp_path, kill_after=4)
    with (tmp_path / "curves.jsonl").open("a", encoding="utf-8") as file:  # steps behind the checkpoint, the last torn
        file.write('{"step": 4, "loss/labels": 1.0}\n{"step": 5, "lo')
    run(recipe, tmp_path)
    lines = (tmp_path / "curves.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_is_not_run_again(make_recipe: Make, tmp_path: Path) -> None:
    run(make_recipe(), tmp_path)
    assert run(make_recipe(), tmp_path) == []


@pytest.mark.parametrize(
    ("form", "golden"), [("matching", [0.96772, 0.64197, 0.33208]), ("merged", [2.23947, 1.72704, 0.45667])]
)
def test_first_losses_are_what_they_were(make_recipe: Make, tmp_path: Path, form: str, golden: list[float]) -> None:
    """A golden figure: a change of it means that data, losses, optimizer or the first weights changed."""
    assert run(make_recipe(form, schedule={"steps": 3}), tmp_path) == pytest.approx(golden, rel=2e-3)


def test_a_network_learns_what_it_sees_again_and_again(make_recipe: Make, tmp_path: Path) -> None:
    losses = run(make_recipe(schedule={"steps": 60}, optimizer={"rate": 5e-3}, episodes={"labels": 0.0}), tmp_path)
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_a_run_goes_on_with_its_own_optimizer_alone(make_recipe: Make, tmp_path: Path) -> None:
    run(make_recipe(optimizer={"name": "muon"}), tmp_path)
    with pytest.raises(RecipeProblem, match="another optimizer"):
        train(make_recipe(schedule={"steps": 9}), Where(tmp_path, "cpu"))


def test_the_budget_of_time_ends_a_run(make_recipe: Make, tmp_path: Path) -> None:
    shares: list[float] = []
    recipe = make_recipe(schedule={"minutes": 0.01})
    train(recipe, Where(tmp_path, "cpu"), None, lambda progress, loss, done: shares.append(done))
    assert shares == sorted(shares)
    assert shares[-1] >= 1
    assert all(share < 1 for share in shares[:-1])
    assert averaged(tmp_path / "checkpoint.pt")[1]["seconds"] >= 0.6


def test_the_rate_warms_up_and_falls(make_recipe: Make) -> None:
    recipe = make_recipe(optimizer={"rate": 2e-3, "warmup": 0.1, "final": 0.05})
    assert 0 < rate_at(0.0, recipe) < 1e-5
    assert rate_at(0.05, recipe) == pytest.approx(1e-3)
    assert rate_at(0.1, recipe) == pytest.approx(2e-3)
    assert rate_at(0.55, recipe) == pytest.approx(2e-3 * (0.05 + 0.95 / 2))
    assert rate_at(1.0, recipe) == rate_at(1.5, recipe) == pytest.approx(1e-4)
    rates = [rate_at(step / 100, recipe) for step in range(101)]
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rate_at(0.0, make_recipe(optimizer={"warmup": 0.0})) == pytest.approx(1e-3)


def test_the_rate_stays_until_it_falls(make_recipe: Make) -> None:
    recipe = make_recipe(optimizer={"rate": 2e-3, "warmup": 0.1, "decay": 0.2, "final": 0.0})
    assert rate_at(0.1, recipe) == rate_at(0.5, recipe) == rate_at(0.8, recipe) == pytest.approx(2e-3)
    assert rate_at(0.9, recipe) == pytest.approx(1e-3)
    assert rate_at(1.0, recipe) == pytest.approx(0.0)


def test_curves_and_validation_are_written_as_it_goes(make_recipe: Make, tmp_path: Path) -> None:
    seen: list[int] = []

    def validate(model: Generalist, folder: Path, step: int) -> dict[str, float]:
        assert not model.training
        seen.append(step)
        return {"iou": 0.5}

    run(make_recipe(schedule={"steps": 4, "log": 2, "validate": 0.0}), tmp_path, validate=validate)
    lines = [json.loads(line) for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    assert seen == [1, 2, 3, 4, 4]
    assert [line["step"] for line in lines if "rate" in line] == [2, 4]
    assert [line["iou"] for line in lines if "iou" in line] == [0.5] * 5
    assert all(any(name.startswith("loss/") for name in line) for line in lines if "rate" in line)
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_the_average_lags_behind_the_weights(make_recipe: Make, tmp_path: Path) -> None:
    run(make_recipe(), tmp_path)
    model, about = averaged(tmp_path / "checkpoint.pt")
    assert not model.training
    assert about["step"] == 6
    assert recipe_from(about["recipe"]) == make_recipe()
    raw = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["model"]
    moved = [(raw[name] - weight).abs().max() for name, weight in model.state_dict().items()]
    assert 0 < max(moved) < 0.05


def test_checkpoints_outlive_the_keys_of_their_recipes(make_recipe: Make, tmp_path: Path) -> None:
    run(make_recipe(schedule={"steps": 1}), tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["about"]["recipe"]["episodes"] = {"classes": 3, "a key of before": 1}
    torch.save(state, tmp_path / "checkpoint.pt")
    assert averaged(tmp_path / "checkpoint.pt")[0].config == make_recipe().model


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"PK\x03\x04 torn"])
def test_what_is_no_checkpoint_is_told(make_recipe: Make, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(FileProblem, match=r"cannot read .*checkpoint\.pt"):
        averaged(tmp_path / "checkpoint.pt")
    with pytest.raises(FileProblem, match="remove it to start anew"):
        run(make_recipe(), tmp_path)
    torch.save({"something": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(FileProblem, match="something else"):
        averaged(tmp_path / "checkpoint.pt")
    with pytest.raises(FileProblem, match="cannot read"):
        averaged(tmp_path / "none.pt")


def test_a_folder_of_another_model_is_not_resumed(make_recipe: Make, tmp_path: Path) -> None:
    run(make_recipe(schedule={"steps": 1}), tmp_path)
    with pytest.raises(RecipeProblem, match="another model"):
        run(make_recipe(model={"fine": 12}), tmp_path)


def test_a_run_can_start_from_weights_whose_network_it_takes(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(9)
    first = Generalist(make_recipe(model={"fine": 12, "drop_path": 0.5}).model)
    save_weights(first, tmp_path / "weights", "card")
    loaded: list[Generalist] = []
    monkeypatch.setattr(loop, "load_weights", lambda name: loaded.append(load_weights(name)) or loaded[-1])
    recipe = make_recipe(start=str(tmp_path / "weights"), optimizer={"rate": 1e-6}, schedule={"steps": 1})
    run(recipe, tmp_path / "run")
    model, about = averaged(tmp_path / "run/checkpoint.pt")
    assert model.config == first.config == recipe_from(about["recipe"]).model
    torch.testing.assert_close(model.state_dict(), dict(first.state_dict()), atol=1e-2, rtol=1e-2)
    assert loaded[0].training, "or paths would never be dropped"
    (tmp_path / "weights/model.safetensors").unlink()
    run(replace(recipe, schedule=replace(recipe.schedule, steps=2)), tmp_path / "run")  # is resumed without them


def test_a_run_can_take_over_an_encoder(make_recipe: Make, tmp_path: Path) -> None:
    torch.manual_seed(9)
    source = Generalist(make_recipe().model)
    save_weights(source, tmp_path / "weights", "card")
    recipe = make_recipe(initialize=str(tmp_path / "weights"), optimizer={"rate": 1e-6}, schedule={"steps": 1})
    run(recipe, tmp_path / "run")
    model, _ = averaged(tmp_path / "run/checkpoint.pt")
    near = {
        name: torch.allclose(tensor, source.state_dict()[name], atol=1e-3, rtol=1e-2)
        for name, tensor in model.state_dict().items()
        if tensor.ndim > 1
    }
    assert all(held for name, held in near.items() if name.startswith("form.images."))
    assert not near["form.targets.see.weight"], "not of the encoder"
    (tmp_path / "weights" / "model.safetensors").unlink()
    run(
        replace(recipe, schedule=replace(recipe.schedule, steps=2)), tmp_path / "run"
    )  # what is resumed needs no source
    with pytest.raises(RecipeProblem, match="one of both"):
        make_recipe(initialize="a", start="b")


def test_sets_may_be_chosen_and_must_exist(make_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="ct, mri"):
        run(make_recipe(data={"sets": ["mrt"]}), tmp_path)
    run(make_recipe(data={"sets": ["ct"]}, schedule={"steps": 1}), tmp_path)


SCRIPT = """
import json, os, sys, time
from pathlib import Path
from mvg.training.loop import Where, train
from mvg.training.recipe import recipe_from

def slow(model, folder, step):
    time.sleep(0.5)  # in one process alone: its clock must not run apart from the other's
    return {"iou": 0.0}

steps = []
folder = Path(sys.argv[2])
watch = lambda progress, loss, done: steps.append((progress.step, progress.seconds))
train(recipe_from(json.loads(sys.argv[1])), Where(folder, "cpu", 2), slow, watch)
(folder / f"steps-{os.environ.get('LOCAL_RANK', '0')}.json").write_text(json.dumps(steps))
"""


@pytest.mark.slow
def test_two_processes_train_together_and_stop_together(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(episodes={"batch": 1}, schedule={"minutes": 0.02, "validate": 0.005})
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), json.dumps(recipe.as_dict()), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=_clean(), check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    zero, one = (json.loads((tmp_path / f"run/steps-{rank}.json").read_text()) for rank in (0, 1))
    assert zero == one
    assert len(zero) > 2
    assert averaged(tmp_path / "run/checkpoint.pt")[1]["step"] == len(zero)


def _clean() -> dict[str, Any]:
    source = str(Path(loop.__file__).parents[2])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": source}
