"""A dry run computes what a step needs, and refuses a run that could not finish its first step."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mvg.errors import FileError, RecipeError
from mvg.model.generalist import Generalist
from mvg.training import dry_run as planning
from mvg.training.devices import ACCELERATORS
from mvg.training.dry_run import dry_run
from mvg.training.launch import RunLocation
from mvg.training.recipe import Recipe
from mvg.training.step_cost import StepCost, one_step, step_cost
from tests.training.conftest import Make

DEEP = {"depth": 8, "levels": [2, 8], "size": 64}
PICTURES = {"episodes": {"batch": 4, "panels": [2, 2], "label_fraction": 0.0}, "objectives": {"image": {"masked": 1.0}}}


def cost_of(make_recipe: Make, form: str = "merged", **devices: object) -> StepCost:
    return step_cost(make_recipe(form, model=DEEP, devices=devices, **PICTURES), "32-true", 4)


@pytest.mark.parametrize("form", ["matching", "merged"])
def test_parts_and_recomputation_need_less_memory(make_recipe: Make, form: str) -> None:
    whole = cost_of(make_recipe, form)
    assert whole.parameters == sum(p.numel() for p in Generalist(make_recipe(form, model=DEEP).model).parameters())
    parts = cost_of(make_recipe, form, gradient_accumulation=4)
    assert parts.working_bytes < 0.5 * whole.working_bytes
    assert parts.flops == pytest.approx(whole.flops, rel=0.01)
    recomputed = cost_of(make_recipe, form, activation_checkpointing=True)
    assert recomputed.working_bytes < 0.9 * whole.working_bytes
    assert 1.05 * whole.flops < recomputed.flops < 1.5 * whole.flops


def test_state_is_what_adamw_keeps_and_is_divided_among_processes(make_recipe: Make) -> None:
    copied, sharded = cost_of(make_recipe), cost_of(make_recipe, sharding="full")
    assert copied.state_bytes == 16 * copied.parameters, "weights, averages and two moments of four bytes"
    assert sharded.state_bytes == 4 * copied.parameters
    assert sharded.working_bytes > copied.working_bytes, "the blocks that are gathered"
    assert copied.checkpoint_bytes == sharded.checkpoint_bytes == 16 * copied.parameters


def test_the_computed_memory_is_that_of_a_real_step(make_recipe: Make) -> None:
    recipe: Recipe = make_recipe("merged", model=DEEP, **PICTURES)
    network = Generalist(recipe.model).train()
    with torch.profiler.profile(profile_memory=True) as profile:
        one_step(network, recipe, "32-true", "image", "masked")
    changes = [event.nbytes() for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    live, most = 0, 0
    for change in changes:
        live += change
        most = max(most, live)
    assert step_cost(recipe, "32-true", 1).working_bytes == pytest.approx(most, rel=0.15)


def test_the_flops_are_about_six_for_each_parameter_and_token(make_recipe: Make) -> None:
    cost = cost_of(make_recipe)
    tokens = 4 * 2 * (DEEP["size"] // 8) ** 2
    assert 3 * cost.parameters * tokens < cost.flops < 20 * cost.parameters * tokens


def test_a_dry_run_says_what_a_run_needs(make_recipe: Make, tmp_path: Path) -> None:
    recipe = make_recipe(devices={"accelerator": "h100-80gb"}, schedule={"steps": 10**9})
    plan = dry_run(recipe, RunLocation(tmp_path / "run", "cpu", 8))
    text = "\n".join(plan.lines())
    assert f"data: 2 sets, {plan.slices} slices" in text
    assert "on 8 devices (h100-80gb)" in text
    assert plan.hours(0.5) == pytest.approx(1e9 * plan.cost.flops / (0.5 * 989e12) / 3600)
    assert f"{plan.hours(0.3):.0f} at 30%" in text
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_suffice_is_an_error(make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = make_recipe(devices={"accelerator": "a100-80gb"})
    monkeypatch.setitem(ACCELERATORS, "a100-80gb", (1e5, 1e12))
    with pytest.raises(RecipeError, match=r"GB of memory on each device \(a100-80gb\); expected at most 0\.0 GB"):
        dry_run(recipe, RunLocation(tmp_path, "cpu"))
    monkeypatch.undo()
    monkeypatch.setattr(planning, "_free_disk", lambda folder: 1000)
    with pytest.raises(RecipeError, match="GB of disk in"):
        dry_run(recipe, RunLocation(tmp_path, "cpu"))
    with pytest.raises(FileError, match="holds no prepared set"):
        dry_run(replace(recipe, data=replace(recipe.data, store=str(tmp_path))), RunLocation(tmp_path, "cpu"))
