"""Laws of the model, in both of its forms."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from mvg.model.generalist import Generalist
from mvg.model.outputs import ModelOutput, PromptState, TargetType
from tests.model.small import SHAPES, network, pictures, visible_patches

pytestmark = pytest.mark.parametrize("shape", list(SHAPES))

GOLDEN = {
    "matching": [0.07103, 7.09852, 0.4942, 7.36106],
    "coarse": [0.21286, 8.2504, 0.36193, 12.34946],
    "painting": [0.49363, 0.1953, 0.53733, 0.56257],
    "merged": [-0.19053, 0.69939, 0.37267, -0.00815],
    "paper": [0.10447, 0.54734, -0.20347, 0.607],
}
TARGET_TYPES: tuple[TargetType, ...] = ("image", "labels")


def maps(answer: ModelOutput) -> list[Tensor]:
    """The predictions of the targets."""
    return [part for part in answer[:2] if part is not None]


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def answered(model: Generalist, images: Tensor, targets: Tensor) -> Tensor:
    """The last image's answer, prompted by the pairs before it: both kinds side by side."""
    features, query = model.embed(images[:, :-1].flatten(0, 1)), model.embed(images[:, -1])
    predictions = [
        model.answer(query, model.encode(features, targets[:, :-1], target_type), target_type)
        for target_type in TARGET_TYPES
    ]
    return torch.cat(predictions, dim=1)


def test_one_pass_of_training_says_what_prediction_says(shape: str) -> None:
    model = network(shape)
    images, targets = pictures(shape, panels=4)
    for target_type in TARGET_TYPES:
        output = model(images, targets, visible_patches(shape, images), "causal", 1, None, target_type)
        at_once = output.pictures if target_type == "image" else maps(output)[0]
        for panel in range(1, 4):
            features = model.embed(images[:, :panel].flatten(0, 1))
            prompts = model.encode(features, targets[:, :panel], target_type)
            alone = model.answer(model.embed(images[:, panel]), prompts, target_type)
            torch.testing.assert_close(alone, at_once[:, panel - 1], atol=3e-4, rtol=1e-3)


def test_a_first_panel_left_out_changes_no_other_answer(shape: str) -> None:
    model = network(shape)
    images, targets = pictures(shape, panels=3)
    every = maps(model(images, targets, visible_patches(shape, images), "causal", 0))
    later = maps(model(images, targets, visible_patches(shape, images), "causal", 2))
    for whole, part in zip(every, later, strict=True):
        torch.testing.assert_close(whole[:, 2:], part, atol=3e-4, rtol=1e-3)


def test_later_panels_leave_earlier_predictions_unchanged(shape: str) -> None:
    model = network(shape)
    images, targets = pictures(shape, panels=4)
    before = maps(model(images, targets, visible_patches(shape, images), "causal", 0))
    images[:, 2:], targets[:, 2:] = 1 - images[:, 2:], 0.3
    after = maps(model(images, targets, visible_patches(shape, images), "causal", 0))
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new[:, :2], old[:, :2], atol=1e-6, rtol=1e-6)
        assert (new[:, 2:] - old[:, 2:]).abs().max() > 1e-2, "later predictions depend on them"


@pytest.mark.parametrize("panel", range(3))
def test_no_target_leaks_into_its_own_prediction(shape: str, panel: int) -> None:
    model = network(shape)
    images, targets = pictures(shape, panels=3)
    before = maps(model(images, targets, visible_patches(shape, images), "causal", 0))
    targets[:, panel] = 1 - targets[:, panel]
    after = maps(model(images, targets, visible_patches(shape, images), "causal", 0))
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new[:, : panel + 1], old[:, : panel + 1], atol=1e-6, rtol=1e-6)
        assert panel == 2 or (new[:, panel + 1 :] - old[:, panel + 1 :]).abs().max() > 1e-3


def test_hidden_targets_never_enter(shape: str) -> None:
    model, patch = network(shape), SHAPES[shape].patch
    images, targets = pictures(shape, panels=3)
    visible = visible_patches(shape, images, share=0.5)
    hidden = (~visible).repeat_interleave(patch, -1).repeat_interleave(patch, -2)[:, :, None]
    before = maps(model(images, targets, visible, "full", 0, visible_patches(shape, images, share=0.7)))
    after = maps(
        model(
            images,
            torch.where(hidden, 1 - targets, targets),
            visible,
            "full",
            0,
            visible_patches(shape, images, share=0.7),
        )
    )
    other_visible = maps(
        model(
            images,
            torch.where(hidden, targets, 1 - targets),
            visible,
            "full",
            0,
            visible_patches(shape, images, share=0.7),
        )
    )
    for old, new, other in zip(before, after, other_visible, strict=True):
        torch.testing.assert_close(new, old, atol=1e-6, rtol=1e-6)
        assert (other - old).abs().max() > 1e-3, "visible ones do"


def test_hidden_image_patches_are_reconstructed_from_the_visible_ones(shape: str) -> None:
    model, patch = network(shape), SHAPES[shape].patch
    images, targets = pictures(shape, panels=2)
    visible = visible_patches(shape, images, share=0.5)
    hidden = (~visible).repeat_interleave(patch, -1).repeat_interleave(patch, -2)[:, :, None]
    for order in ("full", "images"):
        before = model(images, targets, visible_patches(shape, images), order, 0, visible).images
        after = model(
            torch.where(hidden, 1 - images, images), targets, visible_patches(shape, images), order, 0, visible
        ).images
        assert before.shape == (2, 2, (32 // patch) ** 2, patch**2)
        torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-6)


def test_pretraining_looks_at_no_target_and_at_one_picture_at_a_time(shape: str) -> None:
    model = network(shape)
    images, targets = pictures(shape, panels=2)
    visible = visible_patches(shape, images, share=0.5)
    before = model(images, targets, visible_patches(shape, images), "images", 0, visible)
    images[:, 1] = 1 - images[:, 1]
    after = model(images, 1 - targets, visible_patches(shape, images), "images", 0, visible)
    assert before.logits is None
    assert before.pictures is None
    torch.testing.assert_close(after.images[:, 0], before.images[:, 0], atol=1e-6, rtol=1e-6)
    with pytest.raises(AssertionError, match="hidden patches"):
        model(images, targets, visible_patches(shape, images), "images")


@pytest.mark.parametrize("patches", [1, 2, 5])
def test_any_size_that_is_a_multiple_of_the_patch(shape: str, patches: int) -> None:
    size = patches * SHAPES[shape].patch
    images, targets = pictures(shape, panels=2, size=size)
    answer = answered(network(shape), images, targets)
    assert answer.shape == (2, 2 * targets.shape[2], size, size)
    assert answer.isfinite().all()


@pytest.mark.parametrize("prompts", [1, 2, 7])
def test_any_number_of_prompts_and_each_of_them_counts(shape: str, prompts: int) -> None:
    model = network(shape)
    images, targets = pictures(shape, panels=prompts + 1)
    before = answered(model, images, targets)
    for number in range(prompts):
        other = targets.clone()
        other[:, number] = 1 - other[:, number]
        assert (answered(model, images, other) - before).abs().max() > 1e-4


def test_requests_of_a_batch_do_not_mix(shape: str) -> None:
    model = network(shape)
    images, targets = pictures(shape, panels=3, batch=3)
    together = answered(model, images, targets)
    alone = torch.cat([answered(model, images[i : i + 1], targets[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=3e-4, rtol=1e-3)


def test_prompts_of_one_request_serve_many_queries(shape: str) -> None:
    model = network(shape)
    images, targets = pictures(shape, panels=4, batch=1)
    prompts = model.encode(model.embed(images[:, :2].flatten(0, 1)), targets[:, :2], "image")
    both = model.answer(model.embed(images[0, 2:]), prompts, "image")
    alone = torch.cat([model.answer(model.embed(images[:, number]), prompts, "image") for number in (2, 3)])
    torch.testing.assert_close(both, alone, atol=3e-4, rtol=1e-3)


def test_prompts_survive_as_named_tensors(shape: str) -> None:
    model = network(shape)
    images, targets = pictures(shape, panels=3)
    prompts = model.encode(model.embed(images.flatten(0, 1)), targets, "image")
    named = prompts.tensors()
    again = PromptState.from_tensors(named)
    assert again.channels == prompts.channels == targets.shape[2]
    assert all(tensor.is_contiguous() for tensor in named.values())
    query = model.embed(images[:, 0])
    for target_type in TARGET_TYPES:
        assert torch.equal(model.answer(query, again, target_type), model.answer(query, prompts, target_type))


def test_bfloat16_stays_close(shape: str) -> None:
    model = network(shape)
    images, targets = pictures(shape, panels=3)
    exact = answered(model, images, targets)
    with torch.autocast("cpu", torch.bfloat16):
        short = answered(model, images, targets)
    assert short.dtype == torch.float32
    assert (short - exact).square().mean().sqrt() < 0.03 * exact.std()


def test_the_forward_figure_is_what_it_was(shape: str) -> None:
    """A golden figure: a change of it means that existing weights answer differently."""
    answer = answered(network(shape), *pictures(shape, panels=3))
    figure = torch.stack([answer.mean(), answer.std(), answer[0, 0, 3, 5], answer[1, -1, 20, 31]])
    torch.testing.assert_close(figure, torch.tensor(GOLDEN[shape]), atol=2e-4, rtol=2e-4)
