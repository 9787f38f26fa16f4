"""Laws of the matching form alone: classes and prompts are sets."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from time import sleep

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mvg.model.generalist import Generalist
from mvg.model.matching import MatchingForm
from mvg.model.outputs import PromptState, RidgeSolution, RidgeStatistics, TargetType
from mvg.model.ridge import Ridge
from tests.model.small import SHAPES, network, pictures, visible_patches


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def test_classes_may_come_in_any_order() -> None:
    model = network("matching")
    images, targets = pictures("matching", panels=3)
    order = [2, 0, 1]
    before = model(images, targets, visible_patches("matching", images), "causal", 0)
    after = model(images, targets[:, :, order], visible_patches("matching", images), "causal", 0)
    torch.testing.assert_close(after.logits, before.logits[:, :, order], atol=3e-4, rtol=1e-3)
    torch.testing.assert_close(after.pictures, before.pictures[:, :, order], atol=3e-4, rtol=1e-3)


def test_a_class_is_answered_without_looking_at_the_others() -> None:
    model = network("matching")
    images, targets = pictures("matching", panels=3)
    targets = (targets > 0.5).float()
    together = model(images, targets, visible_patches("matching", images), "causal", 0).logits
    alone = model(images, targets[:, :, 1:2], visible_patches("matching", images), "causal", 0).logits
    torch.testing.assert_close(alone, together[:, :, 1:2], atol=3e-4, rtol=1e-3)


def test_prompts_may_come_in_any_order() -> None:
    model = network("matching")
    images, targets = pictures("matching", panels=4)
    order = [2, 0, 1]
    one = model.answer(
        model.embed(images[:, 3]),
        model.encode(model.embed(images[:, :3].flatten(0, 1)), targets[:, :3], "labels"),
        "labels",
    )
    other = model.answer(
        model.embed(images[:, 3]),
        model.encode(model.embed(images[:, order].flatten(0, 1)), targets[:, order], "labels"),
        "labels",
    )
    torch.testing.assert_close(other, one, atol=3e-4, rtol=1e-3)


def test_prompts_encoded_apart_join_as_if_encoded_together() -> None:
    model = network("matching")
    images, targets = pictures("matching", panels=5)
    together = model.encode(model.embed(images.flatten(0, 1)), targets, "labels")
    apart = [
        model.encode(model.embed(images[:, a:b].flatten(0, 1)), targets[:, a:b], "labels")
        for a, b in ((0, 1), (1, 3), (3, 5))
    ]
    joined = PromptState.concatenate(apart)
    for name, tensor in joined.tensors().items():
        torch.testing.assert_close(tensor, together.tensors()[name], atol=3e-4, rtol=1e-3)


def test_the_regression_is_solved_once_per_prompts_and_type(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network("matching")
    images, targets = pictures("matching", panels=3)
    prompts = model.encode(model.embed(images[:, :2].flatten(0, 1)), targets[:, :2], "labels")
    query, solved = model.embed(images[:, 2]), []
    solve = Ridge.solve

    def counted(ridge: Ridge, statistics: RidgeStatistics, target_type: TargetType) -> RidgeSolution:
        solved.append(target_type)
        return solve(ridge, statistics, target_type)

    monkeypatch.setattr(Ridge, "solve", counted)
    first = model.answer(query, prompts, "labels")
    assert torch.equal(model.answer(query, prompts, "labels"), first)
    model.answer(query, prompts, "image")
    assert solved == ["labels", "image"]
    assert torch.equal(model.answer(query, deepcopy(prompts), "labels"), first)
    with torch.enable_grad():
        model.answer(query, prompts, "labels")
    assert solved == ["labels", "image", "labels", "labels"], "gradients need a graph of their own"


def test_threads_share_one_solution() -> None:
    model = network("matching")
    images, targets = pictures("matching", panels=2)
    prompts = model.encode(model.embed(images[:, 0]), targets[:, :1], "labels")
    solved: list[int] = []

    def solve(statistics: RidgeStatistics, target_type: TargetType) -> RidgeSolution:
        solved.append(1)
        sleep(0.05)
        return model.form.ridge.solve(statistics, target_type)  # type: ignore[union-attr,operator]

    def solution(_: int) -> RidgeSolution:
        with torch.no_grad():
            return prompts.solution("labels", solve)

    with ThreadPoolExecutor(4) as pool:
        solutions = list(pool.map(solution, range(4)))
    assert len(solved) == 1
    assert all(other is solutions[0] for other in solutions)


def scene(size: int = 64) -> tuple[Tensor, Tensor]:
    """Three smooth pictures (1, 3, 1, size, size), and where they are bright."""
    noise = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images = F.interpolate(noise, (size, size), mode="bicubic").sigmoid()[None]
    return images, (images > 0.55).float()


def test_an_untrained_network_learns_a_change_of_contrast_from_one_prompt() -> None:
    torch.manual_seed(0)
    fresh = Generalist(SHAPES["matching"]).eval()
    images, _ = scene()
    targets = 0.9 - 0.7 * images
    prediction = fresh.answer(
        fresh.embed(images[:, 2]),
        fresh.encode(fresh.embed(images[:, :1].flatten(0, 1)), targets[:, :1], "image"),
        "image",
    )
    assert (prediction - targets[:, 2]).abs().max() < 0.05


def test_an_untrained_network_finds_most_of_a_class_that_is_bright() -> None:
    torch.manual_seed(0)
    fresh = Generalist(SHAPES["matching"]).eval()
    images, bright = scene()
    predicted = (
        fresh.answer(
            fresh.embed(images[:, 2]),
            fresh.encode(fresh.embed(images[:, :2].flatten(0, 1)), bright[:, :2], "labels"),
            "labels",
        )
        > 0
    )
    overlap = (predicted & (bright[:, 2] > 0)).sum() / (predicted | (bright[:, 2] > 0)).sum()
    assert overlap > 0.8
    nothing = fresh.answer(
        fresh.embed(images[:, 2]),
        fresh.encode(fresh.embed(images[:, :2].flatten(0, 1)), 0 * bright[:, :2], "labels"),
        "labels",
    )
    assert (nothing < 0).all(), "a class that no prompt shows is not predicted"


def test_an_untrained_network_finds_the_same_patch_again() -> None:
    """Queries and keys start alike, so matching by likeness need not be learned."""
    torch.manual_seed(0)
    fresh = Generalist(SHAPES["matching"]).eval().form
    assert isinstance(fresh, MatchingForm)
    images, _ = pictures("matching", panels=1)
    level = fresh.image_encoder(images[:, 0])[0][:, -1]
    for matching in fresh.matchings:
        assert torch.equal(matching.query(level), matching.key(level))


def test_empty_channels_are_encoded_once_and_as_if_each_were_encoded() -> None:
    model = network("matching")
    images, targets = pictures("matching", panels=2, batch=1)
    targets = (targets > 0.5).float()
    targets = torch.cat([targets[:, :, :1] * 0, targets[:, :, :1], targets[:, :, :1] * 0, targets[:, :, 1:2]], dim=2)
    encoded = list[int]()
    encoder = model.form.target_encoder
    assert isinstance(encoder, torch.nn.Module)
    handle = encoder.register_forward_pre_hook(lambda module, inputs: encoded.append(inputs[0].shape[1]))
    features = model.embed(images.flatten(0, 1))
    state = model.encode(features, targets, "labels")
    handle.remove()
    assert encoded == [3], "two channels with labels, and one for both empty ones"
    assert state.channels == 4
    for channel in range(4):
        alone = model.encode(features, targets[:, :, channel : channel + 1], "labels")
        for name, tensor in state.select(torch.tensor([channel])).tensors().items():
            torch.testing.assert_close(tensor, alone.tensors()[name], atol=3e-4, rtol=1e-3)
