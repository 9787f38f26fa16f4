"""Runs: resumed exactly, stopped in time, and what they leave behind."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mvg.data import Store
from mvg.data.store import SliceRow, StoredSlice
from mvg.errors import RecipeError, UnknownNameError, WeightsError
from mvg.model.fusion import Fusion
from mvg.model.generalist import Generalist
from mvg.model.weights import load_weights, save_weights
from mvg.tasks import Task, TaskSpec, tasks_for
from mvg.training import task_sources
from mvg.training import train as training
from mvg.training.checkpoint import averaged
from mvg.training.launch import RunLocation
from mvg.training.optimizers import optimizers_for
from mvg.training.recipe import recipe_from
from mvg.training.train import train
from mvg.training.validation import ValidationSettings, validation
from tests.training.conftest import Make, run

# One step of each, in turn, whatever the drawn kind of task.
EVERY = dict.fromkeys(("autoregressive", "masked", "pretraining", "whole_query"), 0.25)


@pytest.mark.parametrize(
    ("form", "precision", "optimizer"),
    [("matching", "bf16-mixed", "adamw"), ("matching", "bf16-mixed", "muon"), ("merged", "32-true", "adamw")],
)
def test_a_resumed_run_has_the_same_losses(
    make_recipe: Make, tmp_path: Path, form: str, precision: str, optimizer: str
) -> None:
    settings = {
        "schedule": {"checkpoint_minutes": 0.0},
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


def test_the_refiner_alone_learns_and_a_resumed_run_has_the_same_losses(make_recipe: Make, tmp_path: Path) -> None:
    start = averaged(train(make_recipe(schedule={"steps": 2}), RunLocation(tmp_path / "start", "cpu")))[0]
    start.fusion = Fusion()
    save_weights(start, tmp_path / "weights", "# Start\n")
    recipe = make_recipe(
        start=str(tmp_path / "weights"), learns="picture_refiner",
        episodes={"label_fraction": 0.0}, schedule={"checkpoint_minutes": 0.0},
    )  # fmt: skip
    whole = run(recipe, tmp_path / "whole")
    before = run(recipe, tmp_path / "killed", kill_after=4)
    assert before[:3] + run(recipe, tmp_path / "killed") == whole
    one, two = (averaged(tmp_path / name / "checkpoint.pt")[0].state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    first = load_weights(tmp_path / "weights").state_dict()
    assert {name for name in one if name not in first} == {name for name in one if name.startswith("form.refiner.")}
    assert all(torch.equal(value, one[name]) for name, value in first.items())  # fusion among them
    assert one["form.refiner.read.weight"].abs().max() > 0


@pytest.mark.parametrize(("form", "model"), [("merged", {}), ("matching", {"paint": True})])
def test_a_refiner_of_a_network_that_paints_is_refused(
    make_recipe: Make, tmp_path: Path, form: str, model: dict[str, Any]
) -> None:
    save_weights(Generalist(make_recipe(form, model=model).model), tmp_path / "weights", "# Start\n")
    recipe = make_recipe(start=str(tmp_path / "weights"), learns="picture_refiner", episodes={"label_fraction": 0.0})
    with pytest.raises(RecipeError, match="a network that paints labels; expected weights of the matching form"):
        run(recipe, tmp_path / "run")


def test_curves_of_a_resumed_run_have_every_point_once(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(schedule={"checkpoint_minutes": 0.0, "log_steps": 1})
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


def test_two_runs_in_one_folder_are_refused(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe()
    refused = list[str]()

    def start_another(*_: object) -> None:
        with pytest.raises(RecipeError, match="another run") as error:
            train(recipe, RunLocation(tmp_path, "cpu"))
        refused.append(str(error.value))

    train(recipe, RunLocation(tmp_path, "cpu"), on_step=start_another)
    assert refused
    assert all(line.count("\n") == 0 for line in refused)
    train(recipe, RunLocation(tmp_path, "cpu"))  # the folder is free again


def test_the_loss_of_few_slices_falls(make_recipe: Make, tmp_path: Path) -> None:
    losses = run(
        make_recipe(schedule={"steps": 60}, optimizer={"learning_rate": 5e-3}, episodes={"label_fraction": 0.0}),
        tmp_path,
    )
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def muon(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[float]]:
    """The optimizers of the run that comes, and how long all gradients together are when they step."""
    made: list[Any] = []
    norms: list[float] = []

    def noted(*_: object) -> None:
        every = [p.grad for one in made for group in one.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.nn.utils.get_total_norm(every)))

    def optimizers(model: Generalist, *settings: Any) -> list[Any]:
        made.extend(optimizers_for(model, *settings))
        made[0].register_step_pre_hook(noted)
        return made

    monkeypatch.setattr(training, "optimizers_for", optimizers)
    return made, norms


def test_gradients_of_all_optimizers_are_clipped_as_one(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, norms = muon(monkeypatch)
    run(make_recipe(optimizer={"name": "muon", "clip_norm": 1e-3}, schedule={"steps": 3}), tmp_path)
    assert len(made) == 2
    assert norms == pytest.approx([1e-3] * 3, rel=1e-3)


def test_no_optimizer_takes_a_step_that_is_not_finite(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: Generalist, *settings: Any) -> list[Any]:
        model.form.ridge.log_ridge_penalty.register_hook(lambda gradient: gradient * torch.nan)  # not one of Muon's
        before.update({name: weight.clone() for name, weight in model.state_dict().items()})
        return optimizers_for(model, *settings)

    before: dict[str, torch.Tensor] = {}
    monkeypatch.setattr(training, "optimizers_for", broken)
    run(make_recipe(optimizer={"name": "muon"}, schedule={"steps": 1}), tmp_path)
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["model"]
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


def test_the_budget_of_time_ends_a_run(make_recipe: Make, tmp_path: Path) -> None:
    shares: list[float] = []
    recipe = make_recipe(schedule={"minutes": 0.01})
    train(recipe, RunLocation(tmp_path, "cpu"), None, lambda progress, loss, done: shares.append(done))
    assert shares == sorted(shares)
    assert shares[-1] >= 1
    assert all(share < 1 for share in shares[:-1])
    assert averaged(tmp_path / "checkpoint.pt")[1]["seconds"] >= 0.6


def test_the_rate_warms_up_and_falls(make_recipe: Make) -> None:
    recipe = make_recipe(optimizer={"learning_rate": 2e-3, "warmup_fraction": 0.1, "final_fraction": 0.05})
    assert 0 < recipe.optimizer.rate_at(0.0) < 1e-5
    assert recipe.optimizer.rate_at(0.05) == pytest.approx(1e-3)
    assert recipe.optimizer.rate_at(0.1) == pytest.approx(2e-3)
    assert recipe.optimizer.rate_at(0.55) == pytest.approx(2e-3 * (0.05 + 0.95 / 2))
    assert recipe.optimizer.rate_at(1.0) == recipe.optimizer.rate_at(1.5) == pytest.approx(1e-4)
    rates = [recipe.optimizer.rate_at(step / 100) for step in range(101)]
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert make_recipe(optimizer={"warmup_fraction": 0.0}).optimizer.rate_at(0.0) == pytest.approx(1e-3)


def test_the_rate_stays_until_it_falls(make_recipe: Make) -> None:
    recipe = make_recipe(
        optimizer={"learning_rate": 2e-3, "warmup_fraction": 0.1, "decay_fraction": 0.2, "final_fraction": 0.0}
    )
    assert (
        recipe.optimizer.rate_at(0.1)
        == recipe.optimizer.rate_at(0.5)
        == recipe.optimizer.rate_at(0.8)
        == pytest.approx(2e-3)
    )
    assert recipe.optimizer.rate_at(0.9) == pytest.approx(1e-3)
    assert recipe.optimizer.rate_at(1.0) == pytest.approx(0.0)


def test_curves_and_validation_are_written_during_a_run(make_recipe: Make, tmp_path: Path) -> None:
    validated: list[int] = []

    def validate(model: Generalist, folder: Path, step: int) -> dict[str, float]:
        assert not model.training
        validated.append(step)
        return {"iou": 0.5}

    run(make_recipe(schedule={"steps": 4, "log_steps": 2, "validation_minutes": 0.0}), tmp_path, validate=validate)
    lines = [json.loads(line) for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    assert validated == [1, 2, 3, 4, 4]
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


def test_a_run_can_start_from_weights_whose_network_it_takes(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(9)
    first = Generalist(make_recipe(model={"fine": 12, "drop_path": 0.5}).model)
    save_weights(first, tmp_path / "weights", "card")
    loaded: list[Generalist] = []
    monkeypatch.setattr(training, "load_weights", lambda name: loaded.append(load_weights(name)) or loaded[-1])
    recipe = make_recipe(start=str(tmp_path / "weights"), optimizer={"learning_rate": 1e-6}, schedule={"steps": 1})
    run(recipe, tmp_path / "run")
    model, about = averaged(tmp_path / "run/checkpoint.pt")
    assert model.config == first.config == recipe_from(about["recipe"]).model
    torch.testing.assert_close(model.state_dict(), dict(first.state_dict()), atol=1e-2, rtol=1e-2)
    assert loaded[0].training, "or paths would never be dropped"
    (tmp_path / "weights/model.safetensors").unlink()
    run(replace(recipe, schedule=replace(recipe.schedule, steps=2)), tmp_path / "run")  # is resumed without them


def test_sizes_are_those_of_the_network_that_is_started_from(make_recipe: Make, tmp_path: Path) -> None:
    coarse, fine = ({"model": {"patch": patch}} for patch in (16, 8))
    for name, model in (("coarse", coarse), ("fine", fine)):
        save_weights(Generalist(make_recipe(**model).model), tmp_path / name, "card")
    settings = {"episodes": {"sizes": [24]}, "schedule": {"steps": 1}}
    recipe = make_recipe(start=str(tmp_path / "coarse"), **fine, **settings)
    with pytest.raises(RecipeError, match="a picture side of 24; expected a multiple of 16"):
        run(recipe, tmp_path / "run")
    run(make_recipe(start=str(tmp_path / "fine"), **coarse, **settings), tmp_path / "run")
    with pytest.raises(RecipeError, match="a picture side of 20; expected a multiple of 8"):
        run(make_recipe(start="gone", **coarse, episodes={"sizes": [20]}), tmp_path / "run")


def test_a_run_can_take_over_an_encoder(make_recipe: Make, tmp_path: Path) -> None:
    torch.manual_seed(9)
    source = Generalist(make_recipe().model)
    save_weights(source, tmp_path / "weights", "card")
    recipe = make_recipe(initialize=str(tmp_path / "weights"), optimizer={"learning_rate": 1e-6}, schedule={"steps": 1})
    run(recipe, tmp_path / "run")
    model, _ = averaged(tmp_path / "run/checkpoint.pt")
    near = {
        name: torch.allclose(tensor, source.state_dict()[name], atol=1e-3, rtol=1e-2)
        for name, tensor in model.state_dict().items()
        if tensor.ndim > 1
    }
    assert all(held for name, held in near.items() if name.startswith("form.image_encoder."))
    assert not near["form.target_encoder.from_image.weight"], "not of the encoder"
    (tmp_path / "weights" / "model.safetensors").unlink()
    run(
        replace(recipe, schedule=replace(recipe.schedule, steps=2)), tmp_path / "run"
    )  # what is resumed needs no source
    with pytest.raises(RecipeError, match="only one of the two"):
        make_recipe(initialize="a", start="b")
    with pytest.raises(RecipeError, match="only one of the two"):
        make_recipe(trunk="a", start="b")


def test_random_weights_need_the_features_of_photographs_from_elsewhere(make_recipe: Make, tmp_path: Path) -> None:
    torch.manual_seed(9)
    with_features = {"model": {"pretrained": 4}}
    plain = make_recipe()
    source = Generalist(replace(plain.model, pretrained=4))
    save_weights(source, tmp_path / "weights", "card")
    save_weights(Generalist(plain.model), tmp_path / "without", "card")
    with pytest.raises(RecipeError, match=r"model.pretrained without trained features; expected weights that have"):
        make_recipe(**with_features)
    recipe = make_recipe(trunk=str(tmp_path / "weights"), schedule={"steps": 1}, **with_features)
    run(recipe, tmp_path / "run")
    model, _ = averaged(tmp_path / "run/checkpoint.pt")
    taken = {name: x for name, x in load_weights(tmp_path / "weights").state_dict().items() if ".trunk." in name}
    assert taken
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in taken.items())
    with pytest.raises(WeightsError, match="has no features of photographs"):
        run(replace(recipe, trunk=str(tmp_path / "without")), tmp_path / "another")
    with pytest.raises(WeightsError, match="the network to train has no features of photographs"):
        run(make_recipe(trunk=str(tmp_path / "weights"), schedule={"steps": 1}), tmp_path / "third")


@dataclass(frozen=True)
class TwoImages(Task):
    """Shows both contrasts of a slice and asks for the second one, darker."""

    spec = TaskSpec("two_images", inputs=2)

    def accepts(self, row: SliceRow) -> bool:
        return True

    def pair(self, stored: StoredSlice, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return np.stack([stored.picture(0), stored.picture(1)]), 0.5 * stored.picture(1)


@pytest.mark.parametrize("form", ["matching", "merged"])
def test_a_task_with_two_input_images_trains_and_is_validated(
    make_recipe: Make, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(task_sources, "tasks_for", lambda card: [TwoImages("two_images:dark", card), *tasks_for(card)])
    recipe = make_recipe(form, model={"inputs": 2}, data={"sets": ["mri"]}, schedule={"steps": 2})
    validate = validation(replace(store, sets={"mri": store.sets["mri"]}), ValidationSettings(per_set=2))
    losses = run(recipe, tmp_path, validate=validate)
    assert len(losses) == 2
    assert all(loss > 0 for loss in losses)
    last = json.loads((tmp_path / "curves.jsonl").read_text().splitlines()[-1])
    assert set(last) - {"step", "minutes"} == {"psnr/mri/two_images", "psnr/two_images"}


def test_sets_may_be_chosen_and_must_exist(make_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="ct, mri"):
        run(make_recipe(data={"sets": ["mrt"]}), tmp_path)
    run(make_recipe(data={"sets": ["ct"]}, schedule={"steps": 1}), tmp_path)
