"""Tuning on prompts: an adapter is kept where it helps in other volumes; the model stays as it is."""

import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction import finetuning
from mvg.prediction.finetuning import Tuning, tune
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.prompts.zoom_plan import ZoomPlan, ZoomRegion
from mvg.prediction.refinement import rejection
from tests.prediction.learner import Learner, changed, prompted, random_model
from tests.prediction.scans import scan

SECONDS = 500.0  # of a clock that advances by a second with every reading


def ticking() -> Any:
    """A clock that advances by a second with every reading."""
    ticks = count()
    return lambda: float(next(ticks))


class Timid(Learner):
    """Recognizes classes, but finds background more likely everywhere."""

    def paint(self, images: Tensor, learned: Tensor, target_type: str) -> Tensor:
        answer = super().paint(images, learned, target_type)
        return answer.clamp(max=8) - 12 if target_type == "labels" else answer + 0.2


def error(task: PromptedTask) -> float:
    query, truth = scan(seed=9)
    return float((task(query).volume.voxels != truth.voxels).mean())


def test_what_the_model_gets_wrong_is_corrected_in_a_new_query(tmp_path: Path) -> None:
    task = prompted(Timid(), 3)
    first = {name: value.clone() for name, value in task.model.state_dict().items()}
    tuned, result = tune(task, SECONDS, clock=ticking())
    assert result.kept
    assert result.volumes == 3
    assert result.before < 0.1
    assert result.after > 0.3
    assert error(tuned) < 0.5 * error(task), "the given task predicts as before"
    assert all(torch.equal(first[name], value) for name, value in task.model.state_dict().items())
    assert tuned.options == task.options
    assert len(tuned.cache.thresholds) == 1, "they are known from volumes that were left out"
    assert error(tuned.adapted(None)) == error(task)

    tuned.save(tmp_path / "tuned.mvgtask")
    loaded = Predictor(Timid()).load_task(tmp_path / "tuned.mvgtask")
    query = scan(seed=9)[0]
    assert np.array_equal(loaded(query).volume.voxels, tuned(query).volume.voxels)
    assert loaded.adapter is not None


def test_a_model_that_makes_no_errors_is_left_alone() -> None:
    task = prompted(Learner(), 3)
    same, result = tune(task, 60.0, clock=ticking())
    assert same is task
    assert not result.kept
    assert result.after == result.before > 0.9
    assert "discarded" in result.message


def test_one_volume_is_not_tuned_on_and_takes_no_time() -> None:
    task = prompted(Timid(), 1)
    same, result = tune(task, 1e9)
    assert same is task
    assert not result.kept
    assert result.steps == 0
    assert "one annotated volume" in result.message


def test_the_time_is_kept_and_shown() -> None:
    reports: list[tuple[int, int]] = []
    started = time.process_time()
    tune(prompted(random_model(), 3), 4.0, progress=lambda *done: reports.append(done), clock=time.process_time)
    assert 3 < time.process_time() - started < 6
    assert reports == sorted(reports)
    assert reports[-1] == (4, 4)


def test_a_named_minimum_probability_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejection, "_determined", lambda *_: pytest.fail("thresholds were determined"))
    strict, result = tune(changed(prompted(Timid(), 3), min_probability=0.7), SECONDS, clock=ticking())
    assert result.kept
    assert strict.options.min_probability == 0.7


@pytest.mark.parametrize("form", ["matching", "merged"])
def test_pictures_can_be_tuned_too(form: str) -> None:
    images = [scan(seed=number)[0] for number in range(3)]
    darker = [Volume(image.voxels * 0.5, image.affine) for image in images]
    task = Predictor(random_model(form)).prompt(images, darker, "denoising")
    tuned, result = tune(task, 300.0, clock=ticking())
    assert result.kept
    assert result.measure == "PSNR"
    prediction, before = tuned(images[0]).volume, task(images[0]).volume
    assert not isinstance(prediction, LabelMap)
    assert np.array_equal(prediction.affine, images[0].affine)
    assert np.abs(prediction.voxels - darker[0].voxels).mean() < np.abs(before.voxels - darker[0].voxels).mean()


def test_members_learn_from_other_volumes_than_they_are_measured_on(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[set[int]] = []
    left_out: list[set[int]] = []
    train, choose = finetuning.MemberTraining.train, finetuning.choose

    def recorded(self: finetuning.MemberTraining, rows: Any, seconds: float, seed: int) -> Any:
        learned.append(set(self.slices.volume[rows].tolist()))
        return train(self, rows, seconds, seed)

    def recorded_choice(slices: Any, folds: Any, *rest: Any) -> Any:
        left_out.extend(set(fold.tolist()) for fold in folds)
        return choose(slices, folds, *rest)

    monkeypatch.setattr(finetuning.MemberTraining, "train", recorded)
    monkeypatch.setattr(finetuning, "choose", recorded_choice)
    tune(prompted(random_model(), 4), 60.0, clock=ticking())
    assert set().union(*left_out) == {0, 1, 2, 3}
    assert [four | fold for four, fold in zip(learned, left_out, strict=True)] == [{0, 1, 2, 3}] * 3
    assert not any(rows & fold for rows, fold in zip(learned, left_out, strict=True))


def test_of_many_volumes_fewer_members_learn_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[float] = []
    train = finetuning.MemberTraining.train

    def recorded(self: finetuning.MemberTraining, rows: Any, seconds: float, seed: int) -> Any:
        lengths.append(seconds)
        return train(self, rows, seconds, seed)

    monkeypatch.setattr(finetuning.MemberTraining, "train", recorded)
    results = [tune(prompted(random_model(), volumes), 60.0, clock=ticking())[1] for volumes in (8, 9)]
    assert [(result.measured, result.volumes) for result in results] == [(8, 8), (6, 9)]
    assert len(lengths) == 3 + 2
    assert "over 6 of 9 volumes" in results[1].message


def test_labels_come_from_a_region_about_all_of_them() -> None:
    assert finetuning._decisive(prompted(random_model(), 2, zoom="off")) == 0
    task = prompted(random_model(), 2)
    region = ZoomRegion(task.prompts, 2.0, np.zeros((2, 2), np.float32))
    others = replace(region, position=(0.0, 0.0)), replace(region, classes=(1,))
    task.zoom = ZoomPlan((*others, region))
    assert finetuning._decisive(task) == 3
    assert finetuning._decisive(changed(task, zoom="off")) == 0
    task.zoom = ZoomPlan(others)
    assert finetuning._decisive(task) == 0


def test_the_message_says_what_was_gained_and_on_what() -> None:
    message = Tuning("IoU", 0.7, 0.7312, 5, 5, 400).message
    assert message == "tuning was kept: mean IoU 0.700 -> 0.731 by cross-validation over 5 volumes (400 steps)"
