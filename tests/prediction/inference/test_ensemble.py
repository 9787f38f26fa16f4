"""Ensembles: members see other prompts, other colors and mirrored squares; their mean is the prediction."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mvg.imaging.volume import Volume
from mvg.model.outputs import ImageFeatures, PromptState
from mvg.prediction.inference.ensemble import EnsembleOutput, ViewPlanner, ensemble_output
from mvg.prediction.inference.prompt_cache import PromptView, draw_colors
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.selection.retrieval import evenly_spaced
from tests.prediction.learner import Learner, changed, prompted, random_model
from tests.prediction.scans import scan


@pytest.mark.parametrize("members", [2, 3])
def test_an_ensemble_has_an_uncertainty(members: int) -> None:
    query, truth = scan(seed=9)
    prediction = changed(prompted(Learner()), members=members)(query)
    assert np.array_equal(prediction.volume.voxels, truth.voxels)
    assert prediction.uncertainty is not None
    assert prediction.uncertainty.voxels.min() >= 0
    assert prediction.uncertainty.voxels.max() <= 1
    assert np.array_equal(prediction.uncertainty.affine, query.affine)
    assert prediction.uncertainty.shape == query.shape


class LeftSided(Learner):
    """Labels the left half of whatever it receives, if the prompts are labeled there; records the squares."""

    def __init__(self) -> None:
        super().__init__()
        self.squares: list[Tensor] = []

    def answer(self, features: ImageFeatures, prompts: PromptState, target_type: str) -> Tensor:
        self.squares.append(features.images.clone())
        return super().answer(features, prompts, target_type)

    def paint(self, images: Tensor, learned: Tensor, target_type: str) -> Tensor:
        logits = torch.full((len(images), learned.shape[1], *images.shape[-2:]), -9.0)
        logits[..., : images.shape[-1] // 2] = 9.0
        return logits


def views_of(task: PromptedTask, number: int = 2) -> tuple[PromptView, ...]:
    planner = ViewPlanner(task.prompts, task.cache.index, task.options, task.model.config.paints)
    return planner.views(task.prompts.retrieval_index.as_query(number))


def output_of(task: PromptedTask, views: tuple[PromptView, ...], number: int = 2) -> EnsembleOutput:
    return ensemble_output(task.cache, lambda mirrored: task.cache.features([number], mirrored), views)


def test_every_second_member_receives_mirrored_squares_and_its_answer_is_mirrored_back() -> None:
    model = LeftSided()
    task = prompted(model, members=4, zoom="off", min_probability=0.0)
    views = views_of(task)
    assert [view.mirrored for view in views] == [False, True, False, True]
    output = output_of(task, views)
    square = task.cache.features([2]).images
    assert len(model.squares) == 4
    for number, received in enumerate(model.squares):
        assert torch.equal(received, square.flip(-1) if number % 2 else square)
    foreground = output.mean[0, 1:].sum(0)
    assert foreground == pytest.approx(0.5, abs=1e-3), "left of half of the members, right of the others"


@pytest.mark.parametrize("form", ["matching", "painting", "merged"])
def test_a_mirrored_view_encodes_mirrored_prompts(form: str) -> None:
    """The mirrored query with mirrored prompts is the plain request to a task whose pictures are all mirrored."""
    image, labels = scan((32, 32, 4))
    model = random_model(form)
    task = Predictor(model).prompt([image], [labels])
    mirrored = Predictor(model).prompt([image], [labels])
    mirrored.prompts.images[:] = task.prompts.images[..., ::-1].copy()
    mirrored.prompts.targets[:] = task.prompts.targets[..., ::-1].copy()
    colors = (1.0, 0.5) if model.config.paints else None
    (one,) = (output_of(task, (PromptView((0, 1), True, colors),)),)
    other = output_of(mirrored, (PromptView((0, 1), False, colors),))
    torch.testing.assert_close(one.mean, other.mean.flip(-1))
    plain = output_of(task, (PromptView((0, 1), False, colors),))
    assert not torch.allclose(one.mean, plain.mean)


def test_the_output_is_the_mean_over_the_members() -> None:
    task = prompted(random_model(), members=3, zoom="off")
    views = views_of(task)
    alone = [output_of(task, (view,)).mean for view in views]
    torch.testing.assert_close(output_of(task, views).mean, torch.stack(alone).mean(0))


def test_the_spread_of_pictures_is_the_standard_deviation_over_the_members() -> None:
    image, _ = scan((32, 32, 4))
    task = Predictor(random_model()).prompt([image], [Volume(255 - image.voxels, image.affine)], "denoising")
    views = views_of(changed(task, members=3))
    alone = torch.stack([output_of(task, (view,)).mean for view in views])
    output = output_of(task, views)
    assert output.spread.max() > 0
    torch.testing.assert_close(output.spread, alone.std(0, unbiased=False), atol=1e-3, rtol=1e-3)


def test_members_divide_the_prompts_where_there_are_enough() -> None:
    task = prompted(Learner(), members=3, num_prompts=4, strategy="nearest_slice")  # of 12 slices
    views = views_of(task)
    assert [len(view.indices) for view in views] == [4, 4, 4]
    assert len({index for view in views for index in view.indices}) == 12


def test_further_members_see_a_random_part_where_there_are_too_few_prompts() -> None:
    task = prompted(Learner(), members=3, num_prompts=10, strategy="nearest_slice")
    views = views_of(task)
    assert [len(view.indices) for view in views] == [10, 8, 8]
    assert all(set(view.indices) <= set(range(12)) for view in views)
    assert len({frozenset(view.indices) for view in views}) == 3
    assert views_of(task) == views, "the seed decides"
    assert views_of(changed(task, seed=1)) != views


def test_further_members_paint_in_other_orders() -> None:
    rng = np.random.default_rng(0)
    present = np.array([True, False, True, True])
    assert draw_colors(present, 0, rng) == pytest.approx((1 / 3, 0, 2 / 3, 1))
    orders = {draw_colors(present, draw, rng) for draw in range(1, 20)}
    assert len(orders) > 1
    assert all(sorted(colors) == pytest.approx([0, 1 / 3, 2 / 3, 1]) for colors in orders)


def test_evenly_spaced_values_include_the_first_and_the_last() -> None:
    assert evenly_spaced(np.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert evenly_spaced(np.arange(3), 8).tolist() == [0, 1, 2]
