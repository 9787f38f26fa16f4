"""The deformation of an aligned image: correlation at two resolutions, then a smooth velocity at the finest one."""

import torch
from jaxtyping import Float
from torch import Tensor

from mvg.prediction.registration.convex import consistent, correlate, coupled
from mvg.prediction.registration.deformation import exponential, resized, smoothed, warp
from mvg.prediction.registration.descriptors import agreement, contrast, self_similarity
from mvg.prediction.registration.grid import WorkingGrid, pooled
from mvg.prediction.registration.smooth import FeaturePair, Smoothness, optimize

Images = tuple[Float[Tensor, "1 1 x y z"], Float[Tensor, "1 1 x y z"]]

# Tuned on training patients of ACDC and OASIS.
_COARSE = ((6, 3), (3, 2))  # voxels of the working grid per cell, and displacements in cells
_COARSE_FIT = Smoothness(steps=10, rate=0.3, strain=0.3, rounds=2)
_FINE_FIT = Smoothness(steps=16, rate=0.4, strain=0.004, rounds=1)
_FINE = 2  # voxels of the working grid per voxel of the velocity
_INTENSITY = 6.0  # weight of intensities that can be compared beside self-similarity
_COMPARABLE = 0.5  # correlation of intensities from which the finest resolution is used


def coarse_velocity(
    images: Images, inside: Float[Tensor, "1 1 x y z"], grid: WorkingGrid
) -> Float[Tensor, "1 3 i j k"]:
    """A stiff velocity on a coarse grid, in its voxels, from two aligned images on one `grid`.

    inside: 1 where both images are.
    """
    similar = agreement(*images)
    features = [torch.cat([self_similarity(image, grid.axes), _INTENSITY * similar * image], 1) for image in images]
    velocity: Tensor | None = None
    for factor, radius in _COARSE:
        cells = grid.of_spacing(factor * _finest(grid))
        pair = FeaturePair(pooled(features[0], cells), pooled(features[1], cells), pooled(inside, cells))
        velocity = torch.zeros(1, 3, *cells.shape) if velocity is None else resized(velocity, cells.shape)
        velocity = _correlated(pair, velocity, _reach(cells, radius))
    assert velocity is not None
    return optimize(pair, velocity, cells, _COARSE_FIT)


def fine_velocity(
    images: Images, inside: Float[Tensor, "1 1 x y z"], grid: WorkingGrid, start: Float[Tensor, "1 3 i j k"]
) -> Float[Tensor, "1 3 l m n"]:
    """A flexible velocity, in voxels of its grid, from the coarse one; arguments as in `coarse_velocity`.

    The coarse one where intensities cannot be compared: self-similarity alone follows noise at this resolution.
    """
    finer = grid.of_spacing(_FINE * _finest(grid))
    if agreement(*images) < _COMPARABLE:
        return resized(start, finer.shape)
    still, aligned = (contrast(image) for image in images)
    return optimize(FeaturePair(still, aligned, inside), resized(start, finer.shape), finer, _FINE_FIT)


def _correlated(
    pair: FeaturePair, velocity: Float[Tensor, "1 3 x y z"], radius: tuple[int, int, int]
) -> Float[Tensor, "1 3 x y z"]:
    """The velocity plus what correlation of both directions adds to it."""
    moving, fixed = warp(pair.moving, exponential(velocity)), warp(pair.fixed, exponential(-velocity))
    forward = coupled(*correlate(pair.fixed, moving, radius))
    backward = coupled(*correlate(pair.moving, fixed, radius))
    forward, backward = consistent(forward, backward)
    return smoothed(velocity + (forward - backward) / 2)


def _finest(grid: WorkingGrid) -> float:
    return min(grid.spacing[axis] for axis in grid.axes)


def _reach(grid: WorkingGrid, radius: int) -> tuple[int, int, int]:
    """The displacements along each axis, in cells: equally far in mm, and none beyond the grid."""
    farthest = radius * _finest(grid)
    x, y, z = (min(round(farthest / step), n - 1) for step, n in zip(grid.spacing, grid.shape, strict=True))
    return x, y, z
