"""Networks that are shown two input images per pair, in both forms."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mvg.model.generalist import Generalist
from mvg.model.outputs import ModelOutput
from mvg.model.ridge import Ridge, cell_weights
from mvg.model.voids import void_filling
from tests.model.small import SHAPES, drawn, pictures, visible_patches

every_shape = pytest.mark.parametrize("shape", list(SHAPES))


def two_inputs(shape: str) -> Generalist:
    """A network of two inputs in evaluation mode."""
    return drawn(Generalist(replace(SHAPES[shape], inputs=2)))


def studies(shape: str, panels: int) -> tuple[Tensor, Tensor]:
    """Images (2, panels, 2, 32, 32) and targets."""
    first, targets = pictures(shape, panels)
    second, _ = pictures(shape, panels, seed=7)
    return torch.cat([first, second], dim=2), targets


def answered(model: Generalist, images: Tensor, targets: Tensor) -> Tensor:
    """The prediction of each last image from the pairs before it."""
    prompts = model.encode(model.embed(images[:, :-1].flatten(0, 1)), targets[:, :-1], "image")
    return model.answer(model.embed(images[:, -1]), prompts, "image")


@every_shape
def test_one_pass_of_training_predicts_what_prediction_does(shape: str) -> None:
    model, (images, targets) = two_inputs(shape), studies(shape, panels=3)
    with torch.no_grad():
        output = model(images, targets, visible_patches(shape, images), "causal", 2, None, "image")
        torch.testing.assert_close(output.pictures[:, 0], answered(model, images, targets), atol=3e-4, rtol=1e-3)


@every_shape
@pytest.mark.parametrize("panel", [0, 1], ids=["prompt", "query"])
def test_a_prediction_depends_on_the_second_input(shape: str, panel: int) -> None:
    model, (images, targets) = two_inputs(shape), studies(shape, panels=2)
    with torch.no_grad():
        before = answered(model, images, targets)
        images[:, panel, 1] = 1 - images[:, panel, 1]
        assert (answered(model, images, targets) - before).abs().max() > 1e-3


@every_shape
def test_the_gradient_reaches_both_inputs(shape: str) -> None:
    model, (images, targets) = two_inputs(shape), studies(shape, panels=2)
    images.requires_grad_()
    answered(model, images, targets).square().mean().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert (images.grad.abs().amax((0, 3, 4)) > 0).all(), "of prompts and query"


@every_shape
def test_hidden_patches_of_both_inputs_are_reconstructed(shape: str) -> None:
    model, (images, targets) = two_inputs(shape), studies(shape, panels=2)
    visible = visible_patches(shape, images, share=0.5)
    patch = SHAPES[shape].patch
    with torch.no_grad():
        for order in ("full", "images"):
            output: ModelOutput = model(images, targets, visible_patches(shape, images), order, 0, visible)
            assert output.images is not None
            assert output.images.shape == (2, 2, (32 // patch) ** 2, 2 * patch**2)


def test_the_baseline_of_the_regression_is_the_first_input_with_voids_filled() -> None:
    ridge = Ridge(learned=4, inputs=2)
    images = torch.rand(1, 2, 32, 32, generator=torch.Generator().manual_seed(0)).clamp(0.2)
    images[:, 0, 8:16, 8:16] = 0
    filling = void_filling(images)
    features = ridge.features(torch.zeros(1, 4, 8, 8), images, filling)
    assert features.shape == (1, 64, ridge.width)
    cells = (images + filling)[0, 0].unfold(0, 4, 4).unfold(1, 4, 4).reshape(64, 16)
    torch.testing.assert_close((features @ ridge.baseline)[0], cells - 0.5)


def test_cells_are_weighted_by_the_change_of_the_first_input() -> None:
    images, targets = torch.rand(1, 2, 16, 16), torch.rand(1, 1, 16, 16)
    everywhere = torch.ones(1, 16)
    both, first = (cell_weights(part, targets, everywhere, "image") for part in (images, images[:, :1]))
    assert torch.equal(both, first)
