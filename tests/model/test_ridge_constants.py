"""The constants of the regression: how much pictures shrink, and when a picture takes the flexible solution."""

import pytest
import torch
from torch import Tensor

from mvg.model.ridge import Ridge, _flexible_share
from mvg.model.voids import void_filling


def test_penalties_of_pictures_are_a_multiple_of_those_of_labels() -> None:
    labels, default, _ = Ridge(4).log_ridge_penalty.detach().exp()
    torch.testing.assert_close(default[:-1] / labels[:-1], torch.full((Ridge(4).width - 1,), 20.0))
    assert default[-1] == pytest.approx(float(labels[-1])), "the constant shrinks alike"


def test_the_flexible_solution_penalizes_the_hats_less() -> None:
    ridge = Ridge(4)
    _, default, flexible = ridge.log_ridge_penalty.detach().exp()
    ratio = flexible / default
    hats = torch.arange(ridge.width) >= 4
    hats &= torch.arange(ridge.width) < ridge.width - 1 - ridge.pixel_width
    assert hats.sum() > 0
    torch.testing.assert_close(ratio[hats], torch.full_like(ratio[hats], 0.015))
    torch.testing.assert_close(ratio[~hats], torch.ones_like(ratio[~hats]))


def solved(function: float) -> tuple[Tensor, Tensor, Tensor]:
    """Weights for a picture whose target is a line of its image plus `function` times a wave: the solution, and those
    of the default and of the flexible penalties alone.
    """
    rng = torch.Generator().manual_seed(0)
    ridge = Ridge(4)
    image = torch.rand(1, 1, 192, 192, generator=rng)
    wave = ((image - 0.5).abs() * 2 * torch.pi).cos() / 4
    noise = 0.1 * torch.randn(image.shape, generator=rng)
    target = (0.25 + 0.5 * image + function * wave + noise).clamp(0, 1)
    features = ridge.features(torch.zeros(1, 4, 48, 48), image, void_filling(image))
    with torch.no_grad():
        statistics = ridge.statistics(features, target)
        solution = ridge.solve(statistics, "image").weights
        penalties = ridge.log_ridge_penalty.clone()
        ridge.log_ridge_penalty[2] = penalties[1]
        default = ridge.solve(statistics, "image").weights
        ridge.log_ridge_penalty[1:] = penalties[2]
        flexible = ridge.solve(statistics, "image").weights
    return solution, default, flexible


def test_a_target_that_bends_with_intensity_takes_the_flexible_solution() -> None:
    solution, default, flexible = solved(1.0)
    assert not torch.allclose(default, flexible, atol=1e-3)
    torch.testing.assert_close(solution, flexible)


def test_a_target_that_is_a_line_of_the_intensity_takes_the_default_solution() -> None:
    solution, default, flexible = solved(0.0)
    assert not torch.allclose(default, flexible, atol=1e-3)
    torch.testing.assert_close(solution, default)


@pytest.mark.parametrize(("error", "share"), [(0.5, 1.0), (0.55, 1.0), (0.625, 0.5), (0.7, 0.0), (0.9, 0.0)])
def test_the_flexible_solution_is_taken_where_it_leaves_a_much_smaller_error(error: float, share: float) -> None:
    """error: of the flexible solution, as a share of that of the default one, on one cell of one feature."""
    gram, cross, softness = torch.ones(1, 1, 1), torch.ones(1, 1, 16), torch.zeros(1, 1)
    default, flexible = torch.zeros_like(cross), torch.full_like(cross, 1 - error**0.5)
    assert _flexible_share(gram, cross, softness, default, flexible).item() == pytest.approx(share, abs=1e-4)
