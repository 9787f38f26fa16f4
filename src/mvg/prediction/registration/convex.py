"""A first deformation by correlation: costs of many displacements per point, and coupled convex optimization.

The method is that of ConvexAdam (Siebert et al., IEEE TMI 2024; Heinrich et al., MICCAI 2014).
"""

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mvg.prediction.registration.deformation import smoothed, warp

_COUPLINGS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # weights of the smooth field, one after the other
_CONSISTENCY_ROUNDS = 5


def correlate(
    fixed: Float[Tensor, "1 c x y z"], moving: Float[Tensor, "1 c x y z"], radius: tuple[int, int, int]
) -> tuple[Float[Tensor, "n x y z"], Float[Tensor, "n 3"]]:
    """The mean squared difference of features for each of n displacements, and the displacements in voxels."""
    shifts = list(product(*(range(-r, r + 1) for r in radius)))
    margins = [side for r in reversed(radius) for side in (r, r)]
    padded = F.pad(moving, margins, mode="replicate")
    lengths = fixed.shape[2:]
    costs = fixed.new_empty(len(shifts), *lengths)
    for number, shift in enumerate(shifts):
        x, y, z = (s + r for s, r in zip(shift, radius, strict=True))
        part = padded[:, :, x : x + lengths[0], y : y + lengths[1], z : z + lengths[2]]
        costs[number] = (part - fixed).square().mean(1)[0]
    return costs, torch.tensor(shifts, dtype=fixed.dtype)


def coupled(costs: Float[Tensor, "n x y z"], shifts: Float[Tensor, "n 3"]) -> Float[Tensor, "1 3 x y z"]:
    """The smooth displacement that costs little: each point chooses, the choices are smoothed, and choose again."""
    field = smoothed(_chosen(costs, shifts))
    for weight in _COUPLINGS:
        square = shifts.square().sum(1).view(-1, 1, 1, 1) - 2 * torch.einsum("nd,dxyz->nxyz", shifts, field[0])
        field = smoothed(_chosen(torch.add(costs, square, alpha=weight), shifts), 2)
    return field


def _chosen(costs: Float[Tensor, "n x y z"], shifts: Float[Tensor, "n 3"]) -> Float[Tensor, "1 3 x y z"]:
    return shifts[costs.argmin(0)].permute(3, 0, 1, 2)[None]


def consistent(
    forward: Float[Tensor, "1 3 x y z"], backward: Float[Tensor, "1 3 x y z"]
) -> tuple[Float[Tensor, "1 3 x y z"], Float[Tensor, "1 3 x y z"]]:
    """Both displacements changed so that each is nearly the inverse of the other."""
    for _ in range(_CONSISTENCY_ROUNDS):
        forward, backward = (
            (forward - warp(backward, forward)) / 2,
            (backward - warp(forward, backward)) / 2,
        )
    return forward, backward
