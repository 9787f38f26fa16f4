"""The second half of a deformation: a smooth velocity is optimized so that features agree in both directions.

The gradient is written out: a small change of a velocity is taken to move the warped image as it is, which the
exponential's derivative does to first order. That takes a third of the time of differentiating through the squarings.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mvg.prediction.registration.deformation import exponential, pulled, smoothed
from mvg.prediction.registration.grid import WorkingGrid

_MOMENTS = (0.9, 0.999)  # decay of the means that Adam keeps
_TINY = 1e-8


@dataclass(frozen=True)
class Smoothness:
    """How a velocity is optimized.

    steps: of Adam; rate: its learning rate, in voxels of the velocity; strain: weight of the velocity's mean squared
    derivative; rounds: of averaging between what is optimized and the velocity.
    """

    steps: int
    rate: float
    strain: float
    rounds: int


@dataclass(frozen=True, eq=False)
class FeaturePair:
    """Features of the fixed image and of the aligned moving image on one grid; inside: 1 where both images are."""

    fixed: Float[Tensor, "1 c x y z"]
    moving: Float[Tensor, "1 c x y z"]
    inside: Float[Tensor, "1 1 x y z"]

    def gradient(self, velocity: Float[Tensor, "1 3 i j k"]) -> Float[Tensor, "1 3 i j k"]:
        """The derivative of the mean squared difference after the displacements of both directions, to first order.

        The velocity may lie on a coarser grid of the same region.
        """
        forward = pulled(self.moving, self.fixed, self.inside, exponential(velocity))
        backward = pulled(self.fixed, self.moving, self.inside, exponential(-velocity))
        return forward - backward


def optimize(
    pair: FeaturePair, start: Float[Tensor, "1 3 i j k"], grid: WorkingGrid, settings: Smoothness
) -> Float[Tensor, "1 3 i j k"]:
    """The velocity, in voxels of its `grid`, whose exponential maps fixed to moving and whose negative maps back.

    The grid may be coarser than that of the features. Adam's steps are written out: PyTorch's optimizers import its
    compiler, which takes seconds.
    """
    parameters, mean, square = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    for step in range(1, settings.steps + 1):
        velocity = smoothed(parameters, settings.rounds)
        gradient = pair.gradient(velocity) + settings.strain * _strain_gradient(velocity, grid.spacing)
        gradient = smoothed(gradient, settings.rounds)
        mean = torch.lerp(gradient, mean, _MOMENTS[0])
        square = torch.lerp(gradient.square(), square, _MOMENTS[1])
        scale = (square / (1 - _MOMENTS[1] ** step)).sqrt() + _TINY
        parameters -= settings.rate / (1 - _MOMENTS[0] ** step) * mean / scale
    return smoothed(parameters, settings.rounds)


def _strain_gradient(
    velocity: Float[Tensor, "1 3 x y z"], spacing: tuple[float, float, float]
) -> Float[Tensor, "1 3 x y z"]:
    """The derivative of the mean squared derivative of a velocity in mm, per mm, by the velocity in voxels."""
    result = torch.zeros_like(velocity)
    squares = torch.tensor(spacing).square().view(1, 3, 1, 1, 1)
    for axis, step in enumerate(spacing):
        length = velocity.shape[axis + 2]
        if length > 1:
            change = velocity.diff(dim=axis + 2)
            change = 2 * change * squares / (step**2 * (change.numel() / 3))
            result.narrow(axis + 2, 1, length - 1).add_(change)
            result.narrow(axis + 2, 0, length - 1).sub_(change)
    return result
