"""The affine part of a registration: maps of one image onto another that fit the displacements of their features.

At each of a few resolutions the features are correlated, and an affine map is fitted to the displacements by least
squares without those that fit worst. A map is kept only if the features then agree better.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mvg.prediction.registration.convex import consistent, correlate, coupled
from mvg.prediction.registration.deformation import positions
from mvg.prediction.registration.descriptors import self_similarity
from mvg.prediction.registration.grid import Picture, WorkingGrid, pooled

_LEVELS = ((16, 4), (24, 2), (32, 2))  # cells along the longest side, and displacements in cells
_FITTING = 0.7  # the share of displacements that a fit keeps
_FITS = 5
_ACTIVE = 0.4  # the share of cells with the least structure, which are left out
_OUTSIDE = 0.05  # what a cell outside of the moving image costs
_MOST_STRETCH = 3.0  # of volume; a map beyond it is a failure
_FEWEST = 16  # cells to fit a map to


@dataclass(frozen=True, eq=False)
class _Level:
    """Features of both images on a grid: of the moving one after the map so far."""

    grid: WorkingGrid
    fixed: Float[Tensor, "1 c x y z"]
    moving: Float[Tensor, "1 c x y z"]
    inside: Float[Tensor, "1 1 x y z"]

    @property
    def cost(self) -> float:
        """The mean difference of the features."""
        difference = (self.fixed - self.moving).square().mean(dim=1, keepdim=True)
        outside = 1 - self.inside
        return float((difference * self.inside + _OUTSIDE * outside).mean())

    @property
    def active(self) -> NDArray[np.bool_]:
        """The cells (x, y, z) that have structure in both images."""
        structure = torch.minimum(self.fixed.var(dim=1), self.moving.var(dim=1))[0]
        strong = structure > structure.flatten().quantile(_ACTIVE)
        return np.asarray((strong & (self.inside[0, 0] > 0.5)).numpy())


@dataclass(frozen=True, eq=False)
class _Still:
    """Features of the fixed image on a grid, and the finer grid that they are computed on."""

    features: Float[Tensor, "1 c x y z"]
    grid: WorkingGrid
    fine: WorkingGrid

    @classmethod
    def of(cls, fixed: Picture, grid: WorkingGrid) -> "_Still":
        fine = grid.resized(*(length * (2 if axis in grid.axes else 1) for axis, length in enumerate(grid.shape)))
        return cls(pooled(self_similarity(fixed.on(fine)[0], fine.axes), grid), grid, fine)

    def beside(self, moving: Picture, transform: NDArray[np.float64]) -> _Level:
        """The features of both images, of the moving one after a map."""
        aligned, inside = moving.on(self.fine, transform)
        features = pooled(self_similarity(aligned, self.fine.axes), self.grid)
        return _Level(self.grid, self.features, features, pooled(inside, self.grid))


def align(fixed: Picture, moving: Picture, grid: WorkingGrid) -> NDArray[np.float64]:
    """The affine map (4, 4) from RAS mm of the fixed image to those of the moving one; grid: over the fixed image.

    It starts from the position in space, or from the centers of both images where their features then agree better.
    """
    centered = np.eye(4)
    centered[:3, 3] = moving.center - fixed.center
    levels = [_Still.of(fixed, _of_cells(grid, cells)) for cells, _ in _LEVELS]
    best = min((np.eye(4), centered), key=lambda start: levels[0].beside(moving, start).cost)
    for still, (_, radius) in zip(levels, _LEVELS, strict=True):
        level = still.beside(moving, best)
        fitted = best @ _fit(level, _displacements(level, radius))
        stretch = abs(np.linalg.det(fitted[:3, :3]))
        if 1 / _MOST_STRETCH < stretch < _MOST_STRETCH and still.beside(moving, fitted).cost < level.cost:
            best = fitted
    return best


def _of_cells(grid: WorkingGrid, cells: int) -> WorkingGrid:
    longest = max(step * length for step, length in zip(grid.spacing, grid.shape, strict=True))
    return grid.of_spacing(longest / cells)


def _displacements(level: _Level, radius: int) -> Float[Tensor, "1 3 x y z"]:
    finest = min(step for step, n in zip(level.grid.spacing, level.grid.shape, strict=True) if n > 1)
    reach = [round(radius * finest / step) for step in level.grid.spacing]
    x, y, z = (min(max(1, r), n - 1) for r, n in zip(reach, level.grid.shape, strict=True))
    forward = coupled(*correlate(level.fixed, level.moving, (x, y, z)))
    backward = coupled(*correlate(level.moving, level.fixed, (x, y, z)))
    return consistent(forward, backward)[0]


def _fit(level: _Level, displacement: Float[Tensor, "1 3 x y z"]) -> NDArray[np.float64]:
    """The affine map of RAS mm onto themselves that fits the displacements of active cells best."""
    active = level.active.ravel()
    if active.sum() < _FEWEST:
        return np.eye(4)
    cells = positions(level.grid.shape)[0].flatten(1).T.double().numpy()[active]
    steps = displacement[0].flatten(1).T.double().numpy()[active] @ level.grid.affine[:3, :3].T
    points = cells @ level.grid.affine[:3, :3].T + level.grid.affine[:3, 3]
    center = points.mean(axis=0)
    known = np.column_stack([points - center, np.ones(len(points))])
    kept = np.ones(len(points), bool)
    for _ in range(_FITS):
        solution = np.linalg.lstsq(known[kept], steps[kept], rcond=1e-6)[0]
        distances = np.linalg.norm(steps - known @ solution, axis=1)
        kept = distances <= np.quantile(distances, _FITTING)
    result = np.eye(4)
    result[:3, :3] += solution[:3].T
    result[:3, 3] = solution[3] - solution[:3].T @ center
    return result
