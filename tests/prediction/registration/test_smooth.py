"""The written-out gradient of a deformation is that of the difference it stands for."""

import pytest
import torch
from torch import Tensor

from mvg.prediction.registration.deformation import exponential, resized, smoothed, warp
from mvg.prediction.registration.grid import WorkingGrid
from mvg.prediction.registration.smooth import FeaturePair, Smoothness, optimize
from tests.prediction.registration.scenes import AFFINE


def pair_of(seed: int, shape: tuple[int, int, int] = (20, 18, 8)) -> FeaturePair:
    """Two smooth images of two channels."""
    generator = torch.Generator().manual_seed(seed)
    first, second = (smoothed(torch.rand(1, 2, *shape, generator=generator), 3) for _ in range(2))
    inside = torch.ones(1, 1, *shape)
    inside[..., :2] = 0
    return FeaturePair(first, second, inside)


def difference(pair: FeaturePair, velocity: Tensor) -> Tensor:
    """The mean squared difference after the displacements of both directions."""
    shape = pair.fixed.shape[2:]
    there, back = (resized(exponential(sign * velocity), shape) for sign in (1, -1))
    squares = (warp(pair.moving, there) - pair.fixed).square() + (warp(pair.fixed, back) - pair.moving).square()
    return (squares.sum(dim=1, keepdim=True) * pair.inside).mean()


@pytest.mark.parametrize("shape", [(20, 18, 8), (10, 9, 4)])
def test_the_gradient_points_where_the_derivative_does(shape: tuple[int, int, int]) -> None:
    pair = pair_of(0)
    velocity = 0.4 * smoothed(torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(1)), 2)
    exact = velocity.clone().requires_grad_()
    difference(pair, exact).backward()
    assert exact.grad is not None
    gradient = pair.gradient(velocity)
    likeness = float((gradient * exact.grad).sum() / (gradient.norm() * exact.grad.norm()))
    assert likeness > 0.9
    assert 0.7 < float(gradient.norm() / exact.grad.norm()) < 1.4


def test_an_optimized_velocity_brings_images_closer_and_strain_holds_it_back() -> None:
    pair = pair_of(2)
    grid, start = WorkingGrid((10, 9, 4), AFFINE), torch.zeros(1, 3, 10, 9, 4)
    free, stiff = (optimize(pair, start, grid, Smoothness(10, 0.2, strain, 1)) for strain in (0.0, 10.0))
    assert float(difference(pair, free)) < 0.9 * float(difference(pair, start))
    assert float(free.diff(dim=2).square().mean()) > 4 * float(stiff.diff(dim=2).square().mean())
