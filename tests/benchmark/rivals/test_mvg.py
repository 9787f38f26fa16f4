"""Our own model as a method: learnt within the budget, read back when it is over, started from an encoder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mvg.benchmark.protocol.cases import EvalCase, Size, chosen_tasks, eval_cases
from mvg.benchmark.protocol.method import Budget, TrainingData
from mvg.benchmark.rivals import mvg, mvg_adapted, mvg_isolated
from mvg.benchmark.synthetic_sets import make_synthetic_sets
from mvg.data import Store, open_folder, prepare
from mvg.imaging.coloring import Coloring
from mvg.model.weights import save_weights
from mvg.training.recipe import recipe_from
from tests.prediction.learner import random_model, tiny_config

CHANGES: dict[str, Any] = {
    "precision": "32-true",
    "model": tiny_config().as_dict(),
    "episodes": {"batch": 1, "panels": [2, 2]},
    "schedule": {"log_steps": 1},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, EvalCase]:
    folder = tmp_path_factory.mktemp("made")
    heart = make_synthetic_sets(folder / "data") / "made_heart"
    prepare([heart], folder / "store")
    found = open_folder(heart)
    question = next(eval_cases(found, chosen_tasks(found)[0], Size(1, 2, 2), seed=0))
    return Store.open(folder / "store"), question


def lesson(data: tuple[Store, EvalCase], folder: Path, samples: int = 3) -> TrainingData:
    return TrainingData(data[0], (data[1].task,), Budget(samples=samples), 0, folder)


def weights_of(method: mvg.TaskSpec) -> torch.Tensor:
    return torch.cat([value.flatten() for value in method.predictor.model.state_dict().values()])


def test_a_lesson_lasts_its_budget_and_is_read_back_when_over(data: tuple[Store, EvalCase], tmp_path: Path) -> None:
    settings = mvg.Settings(changes=CHANGES)
    method = mvg.learn(settings, lesson(data, tmp_path))
    assert method.steps == 3
    again = mvg.learn(settings, lesson(data, tmp_path))
    assert torch.equal(weights_of(method), weights_of(again))
    assert torch.equal(weights_of(mvg_isolated.learn(settings, lesson(data, tmp_path / "alone"))), weights_of(method))
    answer = method(data[1].request(2))
    assert np.array_equal(answer.affine, data[1].query.affine)
    assert answer.shape == data[1].query.shape


def test_a_share_of_the_budget_is_all_that_is_spent(data: tuple[Store, EvalCase], tmp_path: Path) -> None:
    assert mvg.learn(mvg.Settings(changes=CHANGES, share=0.5), lesson(data, tmp_path, samples=4)).steps == 2


def test_several_slices_of_a_prompt_are_shown_where_asked(data: tuple[Store, EvalCase], tmp_path: Path) -> None:
    one, many = (mvg.learn(mvg.Settings(weights="tiny", slices=n), lesson(data, tmp_path)) for n in (0, 3))
    request = data[1].request(1)
    assert one._prompted(request).settings.num_prompts == 1
    assert many._prompted(request).settings.num_prompts == 3


def test_shipped_weights_learn_nothing(data: tuple[Store, EvalCase], tmp_path: Path) -> None:
    method = mvg.learn(mvg.Settings(weights="tiny"), lesson(data, tmp_path))
    assert method.steps == 0
    assert not list(tmp_path.iterdir())


def test_pretraining_takes_its_share_and_starts_the_encoder(data: tuple[Store, EvalCase], tmp_path: Path) -> None:
    method = mvg.learn(mvg.Settings(changes=CHANGES, pretraining=0.5), lesson(data, tmp_path, samples=4))
    assert method.steps == 2
    assert (tmp_path / "pretraining" / "weights" / "model.safetensors").is_file()
    plain = mvg.learn(mvg.Settings(changes=CHANGES), lesson(data, tmp_path / "plain", samples=2))
    assert not torch.equal(weights_of(method), weights_of(plain)), "the same lesson but for the encoder"


def test_adaptation_starts_from_weights_and_learns_one_patient(data: tuple[Store, EvalCase], tmp_path: Path) -> None:
    start = save_weights(random_model(size=64), tmp_path / "start", "# made\n").folder
    method = mvg_adapted.learn(mvg_adapted.Settings(weights=str(start)), lesson(data, tmp_path / "run"))
    moved = (weights_of(method) - weights_of(mvg.learn(mvg.Settings(weights=str(start)), lesson(data, tmp_path)))).abs()
    assert 0 < moved.max() < 0.05
    recipe = (tmp_path / "run" / "recipe.json").read_text(encoding="utf-8")
    assert '"most": 1' in recipe
    half = mvg_adapted.Settings(weights=str(start), share=0.5)
    assert mvg_adapted.learn(half, lesson(data, tmp_path / "half", samples=6)).steps == method.steps


@pytest.mark.parametrize(("coloring", "colors"), [("random", ()), ("binary", (1.0,) * 3), ("predefined", None)])
def test_classes_are_asked_in_the_colors_that_were_learnt(
    data: tuple[Store, EvalCase], tmp_path: Path, coloring: str, colors: tuple[float, ...] | None
) -> None:
    episodes = {"batch": 1, "panels": [2, 2], "coloring": coloring}
    changes = CHANGES | {"model": tiny_config("merged").as_dict(), "episodes": episodes}
    method = mvg.learn(mvg.Settings(changes=changes), lesson(data, tmp_path))
    request = data[1].request(1)
    prompted = method._prompted(request)
    values, card = prompted.examples.values, data[1].task.card
    if colors is None:
        fixed = Coloring.predefined(card.name, {card.name: card.labels})
        colors = tuple(fixed.colors[fixed.values.index(value)] for value in values)
    assert prompted.settings.colors == colors[: len(values)]
    assert method.colors("never learnt", values) == (colors[: len(values)] if coloring == "binary" else ())


def test_changes_replace_values_but_shares_as_a_whole() -> None:
    table = {"objectives": {"mask_ratio": 0.5, "labels": {"autoregressive": 1.0}}, "seed": 3}
    changed = mvg.merged(table, {"objectives": {"labels": {"masked": 1.0}}})
    assert changed == {"objectives": {"mask_ratio": 0.5, "labels": {"masked": 1.0}}, "seed": 3}


def test_a_budget_of_minutes_is_the_recipes() -> None:
    recipe = recipe_from({"episodes": {"batch": 2, "panels": [3, 5]}})
    assert mvg.timed(recipe, Budget(minutes=7.0)).schedule.minutes == 7
    by_samples = mvg.timed(replace(recipe, schedule=replace(recipe.schedule, minutes=3.0)), Budget(samples=60))
    assert (by_samples.schedule.minutes, by_samples.schedule.steps) == (0, 10)
