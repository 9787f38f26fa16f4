"""Maps on a grid: sampling, composition, and the exponential of a velocity by scaling and squaring.

A displacement (1, 3, x, y, z) is in voxels of its grid: the point i of the grid goes to i + d(i). Axes of length 1 are
allowed; nothing moves along them.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

_STEP = 0.5  # voxels, the longest step that is squared
_MOST_SQUARINGS = 8


def positions(shape: tuple[int, ...]) -> Float[Tensor, "1 3 x y z"]:
    """The index of each point of a grid."""
    axes = [torch.arange(length, dtype=torch.float32) for length in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def sample(maps: Float[Tensor, "1 c i j k"], points: Float[Tensor, "1 3 x y z"]) -> Float[Tensor, "1 c x y z"]:
    """The maps at points in voxels of their grid, by linear interpolation; the border continues outside."""
    lengths = torch.tensor(maps.shape[2:], dtype=points.dtype).view(1, 3, 1, 1, 1)
    scaled = 2 * points / (lengths - 1).clamp(min=1) - 1
    grid = scaled.flip(1).permute(0, 2, 3, 4, 1)
    sampled: Tensor = F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return sampled


def warp(maps: Float[Tensor, "1 c x y z"], displacement: Float[Tensor, "1 3 x y z"]) -> Float[Tensor, "1 c x y z"]:
    """Maps on the grid of a displacement, at the points that it leads to."""
    return sample(maps, positions(maps.shape[2:]) + displacement)


def compose(first: Float[Tensor, "1 3 x y z"], second: Float[Tensor, "1 3 x y z"]) -> Float[Tensor, "1 3 x y z"]:
    """The displacement that goes along `first`, and from there along `second`."""
    return first + warp(second, first)


def exponential(velocity: Float[Tensor, "1 3 x y z"]) -> Float[Tensor, "1 3 x y z"]:
    """The displacement after one unit of time in a stationary velocity; that of the negative one is its inverse."""
    longest = float(velocity.detach().abs().max())
    squarings = min(_MOST_SQUARINGS, max(0, math.ceil(math.log2(max(longest / _STEP, 1)))))
    displacement = velocity / float(2**squarings)
    for _ in range(squarings):
        displacement = compose(displacement, displacement)
    return displacement


def resized(displacement: Float[Tensor, "1 3 i j k"], shape: tuple[int, ...]) -> Float[Tensor, "1 3 x y z"]:
    """A displacement on a grid of another resolution over the same region, in voxels of that grid."""
    factors = torch.tensor([new / old for new, old in zip(shape, displacement.shape[2:], strict=True)])
    return F.interpolate(displacement, shape, mode="trilinear", align_corners=False) * factors.view(1, 3, 1, 1, 1)


def smoothed(maps: Float[Tensor, "1 c x y z"], rounds: int = 1) -> Float[Tensor, "1 c x y z"]:
    """Maps averaged over neighborhoods of 3 x 3 x 3 points, several times; the border continues outside."""
    width = tuple(3 if length > 1 else 1 for length in maps.shape[2:])
    margins = [side for length in reversed(width) for side in (length // 2, length // 2)]
    for _ in range(rounds):
        maps = F.avg_pool3d(F.pad(maps, margins, mode="replicate"), width, stride=1)
    return maps
