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


def onto_whole(part: LabelMap, reference: Volume | LabelMap, tolerance: float, elsewhere: int) -> LabelMap | None:
    """Labels of a part of a grid, or of every n-th slice of it, on the whole grid; `elsewhere` in all other voxels.

    None where voxels with labels lie beside those of `reference`, by more than `tolerance` mm, or beyond them.
    """
    between = np.linalg.inv(reference.affine) @ part.affine
    steps, start = np.rint(between[:3, :3]).astype(int), np.rint(between[:3, 3]).astype(int)
    for axis in np.flatnonzero(np.array(part.shape) == 1):  # of one slice, the distance to the next means nothing
        steps[:, axis] = 0
        steps[:, axis] = ~steps.any(axis=1)
    if not ((steps != 0).sum(axis=0) == 1).all() or not ((steps != 0).sum(axis=1) == 1).all():
        return None
    to_whole = np.eye(4)
    to_whole[:3, :3], to_whole[:3, 3] = steps, start
    if not LabelMap(part.voxels, reference.affine @ to_whole).same_grid(part, tolerance):
        return None
    axes = np.abs(steps).argmax(axis=1)  # of the part, along those of the whole
    indices = [start[i] + steps[i, axis] * np.arange(part.shape[axis]) for i, axis in enumerate(axes)]
    inside = [(one >= 0) & (one < length) for one, length in zip(indices, reference.shape, strict=True)]
    voxels = part.voxels.transpose(axes)
    inner = voxels[np.ix_(*inside)]
    if np.count_nonzero(inner) < np.count_nonzero(voxels):
        return None
    result = np.full(reference.shape, elsewhere, np.int64 if elsewhere < 0 else voxels.dtype)
    result[np.ix_(*(one[where] for one, where in zip(indices, inside, strict=True)))] = inner
    return LabelMap(result, reference.affine, part.header)
