"""The second half of a deformation: a smooth velocity is optimized so that features agree in both directions."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mvg.prediction.registration.deformation import exponential, resized, smoothed, warp
from mvg.prediction.registration.grid import WorkingGrid


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

    def difference(
        self, forward: Float[Tensor, "1 3 x y z"], backward: Float[Tensor, "1 3 x y z"]
    ) -> Float[Tensor, ""]:
        """The mean squared difference after the displacements of both directions."""
        there = (warp(self.moving, forward) - self.fixed).square().sum(dim=1, keepdim=True)
        back = (warp(self.fixed, backward) - self.moving).square().sum(dim=1, keepdim=True)
        return ((there + back) * self.inside).mean()


def optimize(
    pair: FeaturePair, start: Float[Tensor, "1 3 i j k"], grid: WorkingGrid, settings: Smoothness
) -> Float[Tensor, "1 3 i j k"]:
    """The velocity, in voxels of its `grid`, whose exponential maps fixed to moving and whose negative maps back.

    The grid may be coarser than that of the features.
    """
    unit, shape = torch.tensor(grid.spacing).view(1, 3, 1, 1, 1), pair.fixed.shape[2:]
    parameters = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([parameters], lr=settings.rate)
    for _ in range(settings.steps):
        optimizer.zero_grad()
        velocity = smoothed(parameters, settings.rounds)
        forward, backward = (resized(exponential(sign * velocity), shape) for sign in (1, -1))
        loss = pair.difference(forward, backward) + settings.strain * _strain(velocity * unit, grid.spacing)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return smoothed(parameters.detach(), settings.rounds)


def _strain(velocity: Float[Tensor, "1 3 x y z"], spacing: tuple[float, float, float]) -> Float[Tensor, ""]:
    """The mean squared derivative of a velocity in mm, per mm."""
    total = velocity.new_zeros(())
    for axis, step in enumerate(spacing):
        if velocity.shape[axis + 2] > 1:
            total = total + (velocity.diff(dim=axis + 2) / step).square().sum(dim=1).mean()
    return total
