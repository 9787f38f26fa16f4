"""A map of points in space: along a velocity on the working grid and then affine, or back."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mvg.prediction.registration.deformation import exponential, resized, sample
from mvg.prediction.registration.grid import WorkingGrid, moved


@dataclass(frozen=True, eq=False)
class SpatialMap:
    """From RAS mm of the image that a working grid lies over to those of the other one.

    transform: (4, 4), after the velocity; velocity: in voxels of its own grid, which covers the same region, None for
    an affine map alone; backward: the inverse of all this.
    """

    grid: WorkingGrid
    transform: NDArray[np.float64]
    velocity: Float[Tensor, "1 3 i j k"] | None = None
    backward: bool = False

    @property
    def inverse(self) -> "SpatialMap":
        """The map that leads back."""
        return replace(self, backward=not self.backward)

    def __call__(self, points: Float[Tensor, "1 3 x y z"]) -> Float[Tensor, "1 3 x y z"]:
        """Where points in RAS mm lie; beyond the working grid, the displacement of its border continues."""
        to_world = self.transform @ self.grid.affine
        first, last = (to_world, self.grid.affine) if self.backward else (self.grid.affine, to_world)
        inside = moved(np.asarray(np.linalg.inv(first), np.float64), points)
        if self.velocity is not None:
            displacement = exponential(-self.velocity if self.backward else self.velocity)
            inside = inside + sample(resized(displacement, self.grid.shape), inside)
        return moved(last, inside)
