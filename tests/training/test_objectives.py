"""Laws that every objective keeps, whichever files lie in `objectives/`."""

from dataclasses import replace
from types import ModuleType

import pytest
import torch

from mvg._plugins import contributions
from mvg.canvas import Pairs, per_pixel
from mvg.model.generalist import Generalist
from mvg.model.outputs import ModelOutput
from mvg.training import objectives
from mvg.training.batch import ObjectiveContext, TrainingBatch
from mvg.training.losses import LossSettings, loss_of
from tests.model.small import network, pictures

PATCH = 8
OBJECTIVES = contributions(objectives)

every_objective = pytest.mark.parametrize("objective", list(OBJECTIVES.values()), ids=list(OBJECTIVES))
both_forms = pytest.mark.parametrize("form", ["matching", "painting", "merged"])


def made(form: str, kind: str = "image", panels: int = 3) -> Pairs:
    images, targets = pictures(form, panels)
    patients = tuple(tuple(f"{row}{number}" for number in range(panels)) for row in "ab")
    targets = targets[:, :, :1] if kind == "image" else (targets[:, :, :1] > 0.5).float()
    used = torch.ones(2, targets.shape[2], dtype=torch.bool)
    return Pairs(images, targets, used, torch.ones(used.shape), patients, kind)


def make_batch(objective: ModuleType, pairs: Pairs, seed: int = 0) -> TrainingBatch:
    context = ObjectiveContext(torch.Generator().manual_seed(seed), 0.75)
    batch: TrainingBatch = objective.make_batch(pairs, PATCH, context)
    return batch


@both_forms
@every_objective
@pytest.mark.parametrize("kind", ["image", "labels"])
def test_every_objective_gives_a_batch_a_loss_and_gradients(objective: ModuleType, form: str, kind: str) -> None:
    model, pairs = network(form).train(), made(form, kind)
    batch = make_batch(objective, pairs)
    loss = loss_of(batch.run(model), batch, pairs, PATCH, LossSettings())
    loss.backward()
    assert loss.isfinite()
    assert loss > 0
    moved = [name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()]
    assert len(moved) > 10


@every_objective
def test_scores_have_the_shape_of_what_is_answered(objective: ModuleType) -> None:
    pairs = made("matching")
    batch = make_batch(objective, pairs)
    answer = batch.run(network("matching"))
    if batch.scored is not None:
        assert batch.scored.shape == (2, 3 - batch.first, 4, 4)
        assert batch.scored.min() >= 0
        assert batch.scored.max() <= 1
        assert answer.pictures is not None
        assert answer.pictures.shape[1] == 3 - batch.first
    if batch.scored_images is not None:
        assert answer.images is not None
        assert batch.scored_images.shape == (2, 3, 4, 4)
    assert batch.scored is not None or batch.scored_images is not None


@every_objective
def test_the_same_draw_hides_the_same_patches(objective: ModuleType) -> None:
    pairs = made("matching")
    one, two = make_batch(objective, pairs, seed=5), make_batch(objective, pairs, seed=5)
    assert torch.equal(one.canvas.visible, two.canvas.visible)
    assert torch.equal(one.canvas.images, two.canvas.images)


@both_forms
@every_objective
def test_no_answer_depends_on_the_truth_it_is_scored_against(objective: ModuleType, form: str) -> None:
    model, pairs = network(form), made(form)
    batch = make_batch(objective, pairs)
    before = output_of(model, batch)
    if batch.scored is not None:
        last = torch.zeros(2, 3, 4, 4, dtype=torch.bool)
        last[:, -1] = batch.scored[:, -1] > 0
        changed = torch.where(per_pixel(last, 32), 1 - pairs.targets, pairs.targets)
        after = output_of(model, make_batch(objective, replace(pairs, targets=changed)))
        assert before.pictures is not None
        torch.testing.assert_close(after.pictures[:, -1], before.pictures[:, -1], atol=1e-6, rtol=1e-6)
    if batch.scored_images is not None:
        changed = torch.where(per_pixel(batch.scored_images, 32), 1 - pairs.images, pairs.images)
        after = output_of(model, make_batch(objective, replace(pairs, images=changed)))
        torch.testing.assert_close(after.images, before.images, atol=1e-6, rtol=1e-6)


def output_of(model: Generalist, batch: TrainingBatch) -> ModelOutput:
    with torch.no_grad():
        return batch.run(model)


@pytest.mark.parametrize("name", ["masked", "pretraining"])
def test_the_hidden_share_is_exact(name: str) -> None:
    batch = make_batch(OBJECTIVES[name], made("matching"))
    hidden = batch.scored_images
    assert hidden is not None
    assert hidden.flatten(1).sum(1).tolist() == [36, 36]  # three quarters of 48 patches
    assert torch.equal(hidden, ~batch.canvas.image_visible)


def test_masked_modeling_scores_exactly_what_it_hides() -> None:
    batch = make_batch(OBJECTIVES["masked"], made("matching"))
    assert batch.scored is not None
    assert torch.equal(batch.scored > 0, ~batch.canvas.visible)


def test_every_pair_after_the_first_is_scored() -> None:
    batch = make_batch(OBJECTIVES["autoregressive"], made("matching"))
    assert batch.first == 1
    assert batch.scored is not None
    assert batch.scored.shape[1] == 2
    assert batch.scored.unique().tolist() == [1.0]


def test_the_whole_query_is_hidden_and_its_prompts_are_visible() -> None:
    batch = make_batch(OBJECTIVES["whole_query"], made("matching"))
    assert (batch.canvas.targets[:, -1] == 0).all()
    assert batch.canvas.visible[:, :-1].all()
    assert batch.first == 2


def test_unpaired_shows_one_wrong_target_and_scores_what_has_two_right_ones() -> None:
    pairs = made("matching", panels=5)
    for seed in range(20):
        batch = make_batch(OBJECTIVES["unpaired"], pairs, seed)
        same = [torch.equal(batch.canvas.targets[:, i], pairs.targets[:, i]) for i in range(5)]
        assert same.count(False) == 1
        wrong = same.index(False)
        assert batch.first == 3
        assert wrong < batch.first, "what is scored keeps its own target"
        assert any(torch.equal(batch.canvas.targets[:, wrong], pairs.targets[:, i]) for i in range(3) if i != wrong)
        assert batch.scored is not None
        assert batch.scored.all()
