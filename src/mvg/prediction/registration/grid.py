"""The grid that a registration works on, and images on it."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mvg.imaging.volume import Volume
from mvg.imaging.window import Window
from mvg.prediction.registration.deformation import positions, sample

_FINER = 1.03  # spacings that are tried differ by three percent
_THIN = 2.2  # an axis that is so much coarser than the finest one has no neighbors to compare


@dataclass(frozen=True, eq=False)
class WorkingGrid:
    """shape: voxels along each axis; affine: (4, 4) from voxel index to RAS mm."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @classmethod
    def over(cls, volume: Volume, most_voxels: int) -> "WorkingGrid":
        """The finest grid over a volume with about so many voxels, whose voxels are as even as the volume allows."""
        grid, spacing = cls(volume.shape, volume.affine), min(volume.spacing)
        while np.prod(grid.shape) > most_voxels:
            spacing *= _FINER
            grid = cls(volume.shape, volume.affine).of_spacing(spacing)
        return grid

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxels along each axis, in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return x, y, z

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes along which neighbors are close: not those of thick slices, nor of a single one."""
        finest = min(step for step, length in zip(self.spacing, self.shape, strict=True) if length > 1)
        pairs = enumerate(zip(self.spacing, self.shape, strict=True))
        return tuple(axis for axis, (step, length) in pairs if length > 1 and step <= _THIN * finest)

    def of_spacing(self, spacing: float) -> "WorkingGrid":
        """The same region with voxels of about this spacing; axes that are coarser stay."""
        lengths = zip(self.shape, self.spacing, strict=True)
        return self.resized(*(max(1, round(length * step / max(step, spacing))) for length, step in lengths))

    def resized(self, x: int, y: int, z: int) -> "WorkingGrid":
        """The same region with another number of voxels."""
        scale = np.array(self.shape) / np.array((x, y, z))
        affine = self.affine.copy()
        affine[:3, :3] *= scale
        affine[:3, 3] += self.affine[:3, :3] @ ((scale - 1) / 2)
        return replace(self, shape=(x, y, z), affine=affine)


@dataclass(frozen=True, eq=False)
class Picture:
    """An image in [0, 1] as the methods take it: intensities (1, 1, X, Y, Z), and the affine to RAS mm."""

    intensities: Float[Tensor, "1 1 x y z"]
    affine: NDArray[np.float64]

    @classmethod
    def of(cls, volume: Volume) -> "Picture":
        """The intensities of a volume of one channel, in the window that prompts and queries have too."""
        window = Window.fit(volume.voxels)
        return cls(torch.from_numpy(window.apply(volume.voxels))[None, None], volume.affine)

    @property
    def center(self) -> NDArray[np.float64]:
        """The center of the bright voxels, in RAS mm."""
        weights = self.intensities[0, 0].double()
        sums = [weights.sum(dim=[k for k in range(3) if k != axis]) for axis in range(3)]
        index = [float((total * torch.arange(len(total))).sum() / total.sum().clamp(min=1e-9)) for total in sums]
        return np.asarray(self.affine[:3, :3] @ index + self.affine[:3, 3])

    def on(
        self, grid: WorkingGrid, transform: NDArray[np.float64] | None = None
    ) -> tuple[Float[Tensor, "1 1 x y z"], Float[Tensor, "1 1 x y z"]]:
        """The intensities on a grid, and 1 where the grid lies inside the image, else 0.

        transform: (4, 4) from the RAS mm of the grid to those of the image. Finer voxels are averaged first.
        """
        averaged = self._averaged(grid.spacing)
        matrix = np.linalg.inv(averaged.affine) @ (np.eye(4) if transform is None else transform) @ grid.affine
        points = moved(matrix, positions(grid.shape))
        lengths = torch.tensor(averaged.intensities.shape[2:]).view(1, 3, 1, 1, 1)
        inside = ((points >= -0.5) & (points <= lengths - 0.5)).all(dim=1, keepdim=True).float()
        return sample(averaged.intensities, points), inside

    def _averaged(self, spacing: tuple[float, float, float]) -> "Picture":
        steps, lengths = np.linalg.norm(self.affine[:3, :3], axis=0), self.intensities.shape[2:]
        # Axes of both grids need not correspond, so the finest spacing decides for those of finer voxels.
        finest = min(spacing)
        factors = [max(1, min(n, int(finest / step + 0.25))) for step, n in zip(steps, lengths, strict=True)]
        if factors == [1, 1, 1]:
            return self
        pooled = F.avg_pool3d(self.intensities, factors, ceil_mode=True, count_include_pad=False)
        affine = self.affine.copy()
        affine[:3, :3] *= factors
        affine[:3, 3] += self.affine[:3, :3] @ ((np.array(factors) - 1) / 2)
        return Picture(pooled, affine)


def moved(matrix: NDArray[np.float64], points: Float[Tensor, "1 3 x y z"]) -> Float[Tensor, "1 3 x y z"]:
    """Points after an affine map (4, 4)."""
    linear = torch.tensor(matrix[:3, :3], dtype=points.dtype)
    shift = torch.tensor(matrix[:3, 3], dtype=points.dtype).view(1, 3, 1, 1, 1)
    return torch.einsum("ij,bjxyz->bixyz", linear, points) + shift


def pooled(maps: Float[Tensor, "1 c x y z"], grid: WorkingGrid) -> Float[Tensor, "1 c i j k"]:
    """Maps averaged over the voxels of a coarser grid of the same region."""
    return maps if maps.shape[2:] == grid.shape else F.adaptive_avg_pool3d(maps, grid.shape)
