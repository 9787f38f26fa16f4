"""Labels of prompts as a prior: warped where a prompt resembles the query, and nothing changed elsewhere."""

import numpy as np
import pytest

from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.refinement import registration
from tests.prediction.learner import Learner, changed
from tests.prediction.registration.scenes import body, dice, smooth_field

SHAPE = (40, 36, 14)


def pair_of_bodies(shape: tuple[int, int, int] = SHAPE) -> tuple[tuple[Volume, LabelMap], tuple[Volume, LabelMap]]:
    """A body and its labels, and the same after a smooth change."""
    image, labels = body(shape)
    field = smooth_field(image, 5.0)
    return (image, labels), (field.warp(image), field.warp_labels(labels))


def task_of(*prompts: tuple[Volume, LabelMap], **options: str) -> PromptedTask:
    images, labels = zip(*prompts, strict=True)
    chosen = PredictionOptions(zoom="off", min_probability=0.0, registration="auto", **options)  # type: ignore[arg-type]
    return Predictor(Learner()).prompt(images, labels, options=chosen)


def test_labels_of_a_prompt_that_resembles_the_query_help() -> None:
    prompt, (query, truth) = pair_of_bodies()
    task = task_of(prompt)
    with_prior, without = task(query), changed(task, registration="off")(query)
    assert isinstance(with_prior.volume, LabelMap)
    assert isinstance(without.volume, LabelMap)
    assert dice(with_prior.volume, truth) > dice(without.volume, truth) + 0.03
    assert with_prior.probabilities is None


def test_probabilities_are_those_of_the_labels() -> None:
    prompt, (query, _) = pair_of_bodies()
    prediction = changed(task_of(prompt), probabilities=True)(query)
    assert prediction.probabilities is not None
    slices = prediction.probabilities.slices.astype(np.float32)
    assert np.allclose(slices.sum(axis=0), 1, atol=5e-3)
    labels = np.asarray(prediction.volume.pictures(prediction.probabilities.plane))
    values = np.array(prediction.probabilities.values)
    assert (values[slices.argmax(axis=0)] == labels).mean() > 0.999


def test_prompts_that_do_not_resemble_the_query_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt, (query, _) = pair_of_bodies()
    task = task_of(prompt)
    monkeypatch.setattr(registration, "_RESEMBLANCE", 0.999)
    assert np.array_equal(task(query).volume.voxels, changed(task, registration="off")(query).volume.voxels)


@pytest.mark.parametrize(("of_prompt", "of_query"), [(6, 14), (14, 6)])
def test_volumes_of_few_slices_are_left_alone(of_prompt: int, of_query: int) -> None:
    (image, labels), (query, _) = pair_of_bodies()
    few = Volume(image.voxels[..., :of_prompt], image.affine), LabelMap(labels.voxels[..., :of_prompt], labels.affine)
    assert bool(list(registration._prompt_stacks(task_of(few).prompts))) == (of_prompt > 8)
    task, part = task_of(few), Volume(query.voxels[..., :of_query], query.affine)
    assert np.array_equal(task(part).volume.voxels, changed(task, registration="off")(part).volume.voxels)


def test_a_prompt_with_another_distance_of_slices_is_found_as_well() -> None:
    (image, labels), (query, truth) = pair_of_bodies((40, 36, 20))
    affine = image.affine.copy()
    affine[:3, 2] *= 2
    thick = Volume(image.voxels[:, :, ::2], affine), LabelMap(labels.voxels[:, :, ::2], affine)
    task = task_of(thick)
    with_prior, without = task(query), changed(task, registration="off")(query)
    assert isinstance(with_prior.volume, LabelMap)
    assert isinstance(without.volume, LabelMap)
    assert dice(with_prior.volume, truth) > dice(without.volume, truth) + 0.02
    (stack, numbers), *others = registration._prompt_stacks(task.prompts)
    assert not others
    assert stack.squares.shape == numbers.shape == (10, 32, 32)
    assert np.diag(stack.affine).tolist() == pytest.approx([6.0, 80 / 32, 80 / 32, 1.0])
