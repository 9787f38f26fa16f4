"""Our model as a method: trained for the budget, loaded when training is finished, started from an encoder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mvg.benchmark.protocol.cases import EvalCase, EvalSize, eval_cases
from mvg.benchmark.protocol.method import Budget, TrainingData
from mvg.benchmark.rivals import mvg, mvg_adapted, mvg_isolated
from mvg.benchmark.synthetic_sets import make_synthetic_sets
from mvg.data import Store, open_folder, prepare
from mvg.imaging.coloring import Coloring
from mvg.model.weights import save_weights
from mvg.prediction.options import PredictionOptions
from mvg.tasks import evaluated_tasks
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
    folder = tmp_path_factory.mktemp("sets")
    heart = make_synthetic_sets(folder / "data") / "synthetic_heart"
    prepare([heart], folder / "store")
    data_set = open_folder(heart)
    case = next(eval_cases(data_set, evaluated_tasks(data_set)[0], EvalSize(1, 2, 2), seed=0))
    return Store.open(folder / "store"), case


def training_data(data: tuple[Store, EvalCase], folder: Path, samples: int = 3) -> TrainingData:
    return TrainingData(data[0], (data[1].task,), Budget(samples=samples), 0, folder)


def weights_of(method: mvg.PromptedMethod) -> torch.Tensor:
    return torch.cat([value.flatten() for value in method.predictor.model.state_dict().values()])


def test_training_lasts_for_its_budget_and_is_loaded_when_finished(
    data: tuple[Store, EvalCase], tmp_path: Path
) -> None:
    options = mvg.Options(changes=CHANGES)
    method = mvg.fit(options, training_data(data, tmp_path))
    assert method.steps == 3
    again = mvg.fit(options, training_data(data, tmp_path))
    assert torch.equal(weights_of(method), weights_of(again))
    assert torch.equal(
        weights_of(mvg_isolated.fit(options, training_data(data, tmp_path / "alone"))), weights_of(method)
    )
    prediction = method(data[1].request(2))
    assert np.array_equal(prediction.affine, data[1].query.affine)
    assert prediction.shape == data[1].query.shape


def test_only_the_given_fraction_of_the_budget_is_spent(data: tuple[Store, EvalCase], tmp_path: Path) -> None:
    assert (
        mvg.fit(mvg.Options(changes=CHANGES, budget_fraction=0.5), training_data(data, tmp_path, samples=4)).steps == 2
    )


def test_the_number_of_prompt_slices_can_be_set(data: tuple[Store, EvalCase], tmp_path: Path) -> None:
    one, many = (mvg.fit(mvg.Options(weights="tiny", slices=n), training_data(data, tmp_path)) for n in (0, 3))
    request = data[1].request(1)
    assert one.prompted(request).options.num_prompts == 1
    assert many.prompted(request).options.num_prompts == 3


def test_shipped_weights_are_not_trained(data: tuple[Store, EvalCase], tmp_path: Path) -> None:
    method = mvg.fit(mvg.Options(weights="tiny"), training_data(data, tmp_path))
    assert method.steps == 0
    assert not list(tmp_path.iterdir())


def test_pretraining_takes_its_fraction_and_starts_the_encoder(data: tuple[Store, EvalCase], tmp_path: Path) -> None:
    method = mvg.fit(mvg.Options(changes=CHANGES, pretraining=0.5), training_data(data, tmp_path, samples=4))
    assert method.steps == 2
    assert (tmp_path / "pretraining" / "weights" / "model.safetensors").is_file()
    plain = mvg.fit(mvg.Options(changes=CHANGES), training_data(data, tmp_path / "plain", samples=2))
    assert not torch.equal(weights_of(method), weights_of(plain)), "the same training, from another encoder"


def test_adaptation_starts_from_weights_and_uses_one_patient(data: tuple[Store, EvalCase], tmp_path: Path) -> None:
    start = save_weights(random_model(size=64), tmp_path / "start", "# made\n").folder
    method = mvg_adapted.fit(mvg_adapted.Options(weights=str(start)), training_data(data, tmp_path / "run"))
    moved = (
        weights_of(method) - weights_of(mvg.fit(mvg.Options(weights=str(start)), training_data(data, tmp_path)))
    ).abs()
    assert 0 < moved.max() < 0.05
    recipe = (tmp_path / "run" / "recipe.json").read_text(encoding="utf-8")
    assert '"max_patients": 1' in recipe
    half = mvg_adapted.Options(weights=str(start), budget_fraction=0.5)
    assert mvg_adapted.fit(half, training_data(data, tmp_path / "half", samples=6)).steps == method.steps


@pytest.mark.parametrize(("coloring", "colors"), [("random", ()), ("binary", (1.0,) * 3), ("predefined", None)])
def test_classes_have_the_colors_of_training(
    data: tuple[Store, EvalCase], tmp_path: Path, coloring: str, colors: tuple[float, ...] | None
) -> None:
    episodes = {"batch": 1, "panels": [2, 2], "coloring": coloring}
    changes = CHANGES | {"model": tiny_config("merged").as_dict(), "episodes": episodes}
    method = mvg.fit(mvg.Options(changes=changes), training_data(data, tmp_path))
    request = data[1].request(1)
    prompted = method.prompted(request)
    values, card = prompted.prompts.values, data[1].task.card
    if colors is None:
        fixed = Coloring.predefined(card.name, {card.name: card.labels})
        colors = tuple(fixed.colors[fixed.values.index(value)] for value in values)
    assert prompted.options.colors == colors[: len(values)]
    assert method.colors("never learned", values) == (colors[: len(values)] if coloring == "binary" else ())


def test_changes_replace_values_but_shares_as_a_whole() -> None:
    table = {"objectives": {"mask_ratio": 0.5, "labels": {"autoregressive": 1.0}}, "seed": 3}
    changed = mvg.merged(table, {"objectives": {"labels": {"masked": 1.0}}})
    assert changed == {"objectives": {"mask_ratio": 0.5, "labels": {"masked": 1.0}}, "seed": 3}


def test_a_budget_of_minutes_becomes_the_recipes() -> None:
    recipe = recipe_from({"episodes": {"batch": 2, "panels": [3, 5]}})
    assert mvg.with_budget(recipe, Budget(minutes=7.0)).schedule.minutes == 7
    by_samples = mvg.with_budget(replace(recipe, schedule=replace(recipe.schedule, minutes=3.0)), Budget(samples=60))
    assert (by_samples.schedule.minutes, by_samples.schedule.steps) == (0, 10)


def test_options_that_are_set_replace_the_defaults_of_prediction(data: tuple[Store, EvalCase], tmp_path: Path) -> None:
    values: dict[str, Any] = {"strategy": "paper_rule", "members": 2, "zoom": "off", "min_probability": 0.0}
    plain, changed = (
        mvg.fit(mvg.Options("tiny", **options), training_data(data, tmp_path)).prompted(data[1].request(1)).options
        for options in ({}, values)
    )
    assert plain == PredictionOptions(num_prompts=1)
    assert changed == PredictionOptions(num_prompts=1, **values)


def test_weights_compute_in_the_precision_of_the_options(
    data: tuple[Store, EvalCase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvg.prediction.predictor.prefers_bfloat16", lambda device: True)
    save_weights(random_model(), tmp_path / "weights", "# Weights\n")
    for precision, is_reduced in (("auto", True), ("float32", False)):
        options = mvg.Options(weights=str(tmp_path / "weights"), precision=precision)
        model = mvg.fit(options, training_data(data, tmp_path / precision)).predictor.model
        assert any(getattr(layer, "reduced", False) for layer in model.modules()) == is_reduced
