"""RAS copies for the page: NIfTI-1 without compression, with a diagonal affine, so that no viewer turns them."""

from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from mvg.imaging.volume import Volume
from mvg.server.ras import RasGrid

_RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def volume_bytes(volume: Volume, grid: RasGrid) -> bytes:
    """The intensities of a study: integers where all are whole numbers, colors as RGB, else float32."""
    voxels = grid.to_ras(volume.voxels)
    if volume.channels == 3:
        return array_bytes(_colors(voxels), grid)
    if volume.channels > 1:
        voxels = voxels[..., 0]
    return array_bytes(_smallest(voxels), grid)


def array_bytes(ras: NDArray[Any], grid: RasGrid) -> bytes:
    """An array in RAS order as the bytes of a NIfTI file."""
    image: Any = nibabel.Nifti1Image(ras, None, dtype=ras.dtype)
    x, y, z = grid.spacing
    center = grid.affine @ np.array([*((np.array(grid.shape) - 1) / 2), 1])
    affine = np.diag([x, y, z, 1.0])
    affine[:3, 3] = center[:3] - affine[:3, :3] @ ((np.array(grid.shape) - 1) / 2)
    image.header.set_sform(affine, code="scanner")
    image.header.set_qform(affine, code="scanner")
    image.header.set_xyzt_units("mm")
    return bytes(image.to_bytes())


def _colors(voxels: NDArray[np.float32]) -> NDArray[Any]:
    """Colors (X, Y, Z, 3) as triples of bytes; those beyond 255 are scaled down together."""
    highest = max(255.0, float(voxels.max()))
    scaled = np.clip(voxels * (255 / highest), 0, 255).round().astype(np.uint8)
    return np.ascontiguousarray(scaled).view(_RGB)[..., 0]


def _smallest(voxels: NDArray[np.float32]) -> NDArray[Any]:
    low, high = float(voxels.min()), float(voxels.max())
    for kind in (np.uint8, np.int16):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            whole = voxels.astype(kind)
            if np.array_equal(whole, voxels):
                return whole
    return voxels
