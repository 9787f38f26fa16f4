"""Tuning on prompts: it helps and is kept, or does not and is dropped; the model that was given is left as it is."""

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch

from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction import finetuning as tuning
from mvg.prediction.finetuning import tune
from mvg.prediction.predictor import Predictor, PromptedTask
from tests.prediction.learner import random_model
from tests.prediction.scans import scan


def prompted(volumes: int, form: str = "matching") -> PromptedTask:
    images, labels = zip(*(scan(seed=number) for number in range(volumes)), strict=True)
    return Predictor(random_model(form), "made").prompt(images, labels)


def ticking() -> Any:
    """A clock that goes on by a second whenever it is asked."""
    ticks = count()
    return lambda: float(next(ticks))


@pytest.mark.parametrize("volumes", [1, 4])
def test_tuning_helps_on_what_it_was_not_shown(volumes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        tuning, "_OPTIMIZER", replace(tuning._OPTIMIZER, learning_rate=3e-3)
    )  # random weights have further to go than trained ones
    task = prompted(volumes)
    first = {name: value.clone() for name, value in task.predictor.model.state_dict().items()}
    tuned, said = tune(task, 300.0, clock=ticking())
    assert said.kept
    assert said.after < 0.8 * said.before
    assert said.steps == 150, "two seconds of this clock a step"
    query, truth = scan(seed=9)

    def wrong(some: PromptedTask) -> float:
        return float((some(query).volume.voxels != truth.voxels).mean())

    assert wrong(tuned) < wrong(task)
    assert all(torch.equal(first[name], value) for name, value in task.predictor.model.state_dict().items())


def test_what_does_not_help_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_OPTIMIZER", replace(tuning._OPTIMIZER, learning_rate=3.0))
    task = prompted(3)
    better, _ = tune(task, 60.0, clock=ticking())
    monkeypatch.setattr(tuning, "_OPTIMIZER", replace(tuning._OPTIMIZER, learning_rate=0.0))
    same, said = tune(better, 3.0, clock=ticking())
    assert same is better
    assert not said.kept
    assert said.after == pytest.approx(said.before)


def test_the_volume_that_is_held_back_is_not_learnt_from() -> None:
    examples = prompted(3).prompts
    requests = tuning._Requests.of(examples, False, (), seed=0)
    held = set(examples.volume[requests.checks])
    assert len(held) == 1
    assert not held & set(examples.volume[requests.learnt])
    rng = np.random.default_rng(0)
    for query in (*requests.learnt, *requests.checks):
        prompts = requests._prompts(int(query), rng)
        assert query not in prompts
        assert not held & set(examples.volume[prompts])


@pytest.mark.parametrize("colors", [(0.4, 0.9), (1.0, 1.0)])
def test_fixed_colors_are_learnt_as_they_are_asked(colors: tuple[float, ...]) -> None:
    examples = prompted(3).prompts
    assert len(examples.values) == len(colors)
    requests, rng = tuning._Requests.of(examples, False, colors, seed=0), np.random.default_rng(0)
    asked = [tuple(requests.drawn(rng).colors[0].tolist()) for _ in range(20)]
    assert all(len(set(some)) == len(some) for some in asked)
    assert {round(color, 6) for some in asked for color in some} == set(colors)


def test_prompts_that_were_learnt_do_not_tell_how_sure_a_label_has_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_OPTIMIZER", replace(tuning._OPTIMIZER, learning_rate=3e-3))
    task = prompted(3)
    assert task.options.reject is None
    tuned, said = tune(task, 60.0, clock=ticking())
    assert said.kept
    assert tuned.options.reject == 0
    monkeypatch.setattr("mvg.prediction.inference.slices.least_certainty", lambda *_: pytest.fail("prompts were asked"))
    tuned(scan(seed=9)[0])
    strict, said = tune(task.using(min_probability=0.7), 60.0, clock=ticking())
    assert said.kept
    assert strict.options.reject == 0.7


@pytest.mark.parametrize("form", ["matching", "merged"])
def test_pictures_can_be_tuned_too(form: str) -> None:
    images = [scan(seed=number)[0] for number in range(3)]
    darker = [Volume(image.voxels * 0.5, image.affine) for image in images]
    task = Predictor(random_model(form)).prompt(images, darker, "denoising")
    tuned, said = tune(task, 30.0, clock=ticking())
    assert said.kept
    answer = tuned(images[0]).volume
    assert not isinstance(answer, LabelMap)
    assert np.array_equal(answer.affine, images[0].affine)
