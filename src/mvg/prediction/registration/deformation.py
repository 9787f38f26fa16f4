"""Maps on a grid: sampling, composition, and the exponential of a velocity by scaling and squaring.

A displacement (1, 3, x, y, z) is in voxels of its grid: the point i of the grid goes to i + d(i). Axes of length 1 are
allowed; nothing moves along them.
"""

import math
from functools import lru_cache

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


def pulled(
    maps: Float[Tensor, "1 c x y z"],
    others: Float[Tensor, "1 c x y z"],
    inside: Float[Tensor, "1 1 x y z"],
    displacement: Float[Tensor, "1 3 i j k"],
) -> Float[Tensor, "1 3 i j k"]:
    """The derivative by a displacement of the mean over voxels of `inside` times (warped maps - others)^2.

    The displacement may lie on a coarser grid of the same region.
    """
    x, y, z = coarse = displacement.shape[2:]
    shape = maps.shape[2:]
    steps = torch.tensor([2 / max(n - 1, 1) * n / k for n, k in zip(shape, coarse, strict=True)]).view(1, 3, 1, 1, 1)
    unit = (displacement * steps).flip(1)
    if coarse != shape:
        unit = F.interpolate(unit, shape, mode="trilinear", align_corners=False)
    grid = (unit + _unit_positions(tuple(shape))).permute(0, 2, 3, 4, 1).contiguous()
    warped = torch.grid_sampler_3d(maps, grid, 0, 1, True)
    weights = (warped - others).mul_(inside)
    _, slopes = torch.ops.aten.grid_sampler_3d_backward(weights, maps, grid, 0, 1, True, [False, True])
    slopes = slopes.permute(0, 4, 1, 2, 3)
    if coarse != shape:
        slopes = F.adaptive_avg_pool3d(slopes, (x, y, z))
    gradient: Tensor = slopes.flip(1) * (2 * steps / float(coarse.numel()))
    return gradient


@lru_cache(maxsize=4)
def _unit_positions(shape: tuple[int, ...]) -> Float[Tensor, "1 3 x y z"]:
    """The points of a grid in the coordinates of `grid_sample`: -1 to 1, the last axis first."""
    lengths = torch.tensor(shape, dtype=torch.float32).view(1, 3, 1, 1, 1)
    return (2 * positions(shape) / (lengths - 1).clamp(min=1) - 1).flip(1).contiguous()


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
