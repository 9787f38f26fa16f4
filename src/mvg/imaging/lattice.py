"""Images whose voxels lie at the same points in space, in another order of rows, columns or slices."""

from typing import TypeVar

import numpy as np

from mvg.imaging.volume import LabelMap, Volume

_Kind = TypeVar("_Kind", bound=Volume | LabelMap)


def onto_lattice(image: _Kind, reference: Volume | LabelMap, tolerance: float) -> _Kind | None:
    """The image with its voxels in the order of `reference`, by flips and permutations of axes alone.

    None where its voxels lie elsewhere, by more than `tolerance` mm at the corners.
    """
    from nibabel import orientations

    if image.same_grid(reference, tolerance):
        return image
    between = np.linalg.inv(reference.affine) @ image.affine
    order = orientations.io_orientation(between)
    if np.isnan(order).any():
        return None
    voxels = np.asarray(orientations.apply_orientation(image.voxels, order))
    affine = image.affine @ orientations.inv_ornt_aff(order, image.shape)
    reordered = type(image)(voxels, affine)
    if not reordered.same_grid(reference, tolerance):
        return None
    return type(image)(voxels, reference.affine, reference.header)
