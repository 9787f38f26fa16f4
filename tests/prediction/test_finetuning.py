"""Tuning on prompts: a better model is kept, others are discarded; the given model stays as it is."""

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch

from mvg.canvas import Pairs
from mvg.imaging.volume import LabelMap, Volume
from mvg.model.generalist import Generalist
from mvg.prediction import finetuning
from mvg.prediction.finetuning import tune
from mvg.prediction.predictor import Predictor, PromptedTask
from mvg.prediction.refinement import rejection
from tests.prediction.learner import changed, prompted, random_model
from tests.prediction.scans import scan


def ticking() -> Any:
    """A clock that advances by a second with every reading."""
    ticks = count()
    return lambda: float(next(ticks))


def set_rate(monkeypatch: pytest.MonkeyPatch, rate: float) -> None:
    monkeypatch.setattr(finetuning, "_OPTIMIZER", replace(finetuning._OPTIMIZER, learning_rate=rate))


def requests_of(task: PromptedTask, colors: tuple[float, ...] = ()) -> finetuning._Requests:
    return finetuning._Requests.of(task.prompts, False, colors, seed=0)


@pytest.mark.parametrize("volumes", [1, 4])
def test_tuning_helps_on_a_new_query(volumes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    set_rate(monkeypatch, 3e-3)  # random weights have further to go than trained ones
    task = prompted(random_model(), volumes)
    first = {name: value.clone() for name, value in task.predictor.model.state_dict().items()}
    tuned, result = tune(task, 300.0, clock=ticking())
    assert result.kept
    assert result.after < 0.8 * result.before
    assert result.steps == 150, "a step takes two seconds of this clock"
    query, truth = scan(seed=9)

    def error(task: PromptedTask) -> float:
        return float((task(query).volume.voxels != truth.voxels).mean())

    assert error(tuned) < error(task)
    assert all(torch.equal(first[name], value) for name, value in task.predictor.model.state_dict().items())


def test_a_model_that_is_no_better_is_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    set_rate(monkeypatch, 3.0)
    better, _ = tune(prompted(random_model(), 3), 60.0, clock=ticking())
    set_rate(monkeypatch, 0.0)
    same, result = tune(better, 3.0, clock=ticking())
    assert same is better
    assert not result.kept
    assert result.after == pytest.approx(result.before)


def test_the_held_out_volume_is_not_trained_on() -> None:
    task = prompted(random_model(), 3)
    prompts, requests = task.prompts, requests_of(task)
    held_out = set(prompts.volume[requests.checks])
    assert len(held_out) == 1
    assert not held_out & set(prompts.volume[requests.training])
    rng = np.random.default_rng(0)
    for query in (*requests.training, *requests.checks):
        chosen = requests._prompts_for(int(query), rng)
        assert query not in chosen
        assert not held_out & set(prompts.volume[chosen])


@pytest.mark.parametrize("colors", [(0.4, 0.9), (1.0, 1.0)])
def test_fixed_colors_are_trained(colors: tuple[float, ...]) -> None:
    task = prompted(random_model(), 3)
    assert len(task.prompts.values) == len(colors)
    batches = requests_of(task, colors).batches(np.random.default_rng(0))
    drawn = [tuple(pairs.colors[0].tolist()) for pairs, _ in zip(batches, range(20), strict=False)]
    assert all(len(set(colors)) == len(colors) for colors in drawn)
    assert {round(color, 6) for request in drawn for color in request} == set(colors)


def test_prompts_that_were_trained_on_determine_no_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    set_rate(monkeypatch, 3e-3)
    task = prompted(random_model(), 3)
    assert task.options.min_probability is None
    tuned, result = tune(task, 60.0, clock=ticking())
    assert result.kept
    assert tuned.options.min_probability == 0
    monkeypatch.setattr(rejection, "_determined", lambda *_: pytest.fail("thresholds were determined"))
    tuned(scan(seed=9)[0])
    strict, result = tune(changed(task, min_probability=0.7), 60.0, clock=ticking())
    assert result.kept
    assert strict.options.min_probability == 0.7


@pytest.mark.parametrize("form", ["matching", "merged"])
def test_pictures_can_be_tuned_too(form: str) -> None:
    images = [scan(seed=number)[0] for number in range(3)]
    darker = [Volume(image.voxels * 0.5, image.affine) for image in images]
    task = Predictor(random_model(form)).prompt(images, darker, "denoising")
    tuned, result = tune(task, 30.0, clock=ticking())
    assert result.kept
    prediction = tuned(images[0]).volume
    assert not isinstance(prediction, LabelMap)
    assert np.array_equal(prediction.affine, images[0].affine)


def test_training_requests_are_augmented_and_checks_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    task = prompted(random_model(), 3)
    requests, prompts = requests_of(task), task.prompts
    slices = torch.from_numpy(prompts.image_batch(range(len(prompts))))

    def unchanged(images: torch.Tensor) -> list[bool]:
        """Which images (n, 1, s, s) are prompt slices as they are."""
        return [bool((slices - image).abs().amax((1, 2, 3)).min() < 1e-3) for image in images]

    training = [batch for _, batch in zip(range(8), requests.batches(np.random.default_rng(0)), strict=False)]
    assert not any(same for batch in training for same in unchanged(batch.images[0]))
    checked: list[bool] = []
    loss = finetuning._Requests.loss

    def recorded(self: finetuning._Requests, model: Generalist, pairs: Pairs) -> torch.Tensor:
        checked.extend(unchanged(pairs.images[0]))
        return loss(self, model, pairs)

    monkeypatch.setattr(finetuning._Requests, "loss", recorded)
    requests.check_loss(task.predictor.model)
    assert checked
    assert all(checked)
