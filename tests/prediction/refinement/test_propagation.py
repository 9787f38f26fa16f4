"""Confident slices join the prompts of their neighbors, which are then predicted again."""

from typing import Any

import numpy as np
import pytest
from torch import Tensor

from mvg.prediction.inference.ensemble import ViewPlanner
from mvg.prediction.inference.prompt_cache import PromptView
from mvg.prediction.selection.retrieval import QuerySlice
from tests.prediction.learner import Copying, Learner, prompted, random_model
from tests.prediction.scans import scan

Request = tuple[int, tuple[int, ...], tuple[PromptView, ...]]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Every planned slice: its number, the further prompts, and the views."""
    planned: list[Request] = []
    views = ViewPlanner.views

    def recorded(self: ViewPlanner, query: QuerySlice, extra: tuple[int, ...] = ()) -> tuple[PromptView, ...]:
        chosen = views(self, query, extra)
        planned.append((query.index, tuple(int(self.prompts.index[number]) for number in extra), chosen))
        return chosen

    monkeypatch.setattr(ViewPlanner, "views", recorded)
    return planned


def test_confident_slices_become_prompts_of_their_neighbors_on_both_sides(requests: list[Request]) -> None:
    query, truth = scan(seed=9)
    prediction = prompted(Learner(), zoom="off", propagate=0.9)(query)
    assert np.array_equal(prediction.volume.voxels, truth.voxels)
    first, again = requests[: len(requests) // 2], requests[len(requests) // 2 :]
    assert all(extra == () for _, extra, _ in first)
    assert again[0][:2] == (0, (1,))
    assert again[2][:2] == (2, (1, 3)), "from below and from above, and never itself"
    assert again[5][:2] == (5, (4,))


@pytest.mark.parametrize("strategy", ["most_similar", "own_features", "alike_nearby", "nearest_slice"])
def test_strategies_still_choose_from_the_prompts_alone(strategy: str, requests: list[Request]) -> None:
    task = prompted(random_model(), zoom="off", propagate=1e-3, strategy=strategy, num_prompts=3)
    task(scan(seed=9)[0])
    again = requests[len(requests) // 2 :]
    assert any(extra for _, extra, _ in again)
    for _, extra, (view,) in again:
        further = [number for number in view.indices if number >= len(task.prompts)]
        assert len(further) == len(extra), "the query's own slices are added, never selected"


class Unsure(Learner):
    """The same answers, with less confidence."""

    def paint(self, images: Tensor, learned: Tensor, target_type: str) -> Tensor:
        return 0.05 * super().paint(images, learned, target_type)


def test_slices_below_the_confidence_do_not_become_prompts() -> None:
    query, _ = scan(seed=9)
    models = [Unsure(), Unsure(), Unsure()]
    options: list[dict[str, Any]] = [{}, {"propagate": 0.95}, {"propagate": 0.4}]
    plain, strict, _ = (
        prompted(model, zoom="off", **changes)(query) for model, changes in zip(models, options, strict=True)
    )
    assert models[0].encoded == models[1].encoded < models[2].encoded
    assert np.array_equal(plain.volume.voxels, strict.volume.voxels)


@pytest.mark.parametrize("form", ["matching", "painting"])
def test_a_network_accepts_further_prompts(form: str, requests: list[Request]) -> None:
    query, _ = scan(seed=9)
    prediction = prompted(random_model(form), zoom="off", propagate=1e-3, min_probability=0.0)(query)
    assert prediction.volume.shape == query.shape
    assert any(extra for _, extra, _ in requests)


def test_a_network_that_encodes_all_prompts_together_accepts_further_prompts(requests: list[Request]) -> None:
    query, truth = scan(seed=9)
    prediction = prompted(Copying(), zoom="off", propagate=1e-3, min_probability=0.0)(query)
    assert np.array_equal(prediction.volume.voxels, truth.voxels)
    assert any(extra for _, extra, _ in requests)
