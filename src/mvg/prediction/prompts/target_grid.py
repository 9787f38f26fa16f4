"""The target of a prompt on the grid of its image."""

import logging

import numpy as np

from mvg.errors import GeometryError
from mvg.imaging.grid_difference import UNPLACED, grid_difference, is_placed
from mvg.imaging.lattice import onto_lattice, onto_whole
from mvg.imaging.segments import has_segments
from mvg.imaging.volume import IGNORED, LabelMap, Volume
from mvg.prediction.prompts.annotation import without_unlabeled_slices

_SAME_SPACING = 1e-3  # relative
_SAME_GRID = 0.1  # mm between corners of an image and its target


def on_grid(target: Volume | LabelMap, image: Volume, name: str) -> Volume | LabelMap:
    """The target with its voxels in the order of the image's; GeometryError where they lie elsewhere."""
    if isinstance(target, LabelMap) and has_segments(target):
        target = _completed(target, image)
    reordered = onto_lattice(target, image, _SAME_GRID)
    same_voxels = target.shape == image.shape and np.allclose(target.spacing, image.spacing, rtol=_SAME_SPACING)
    if reordered is None and same_voxels and not (is_placed(target) and is_placed(image)):
        logging.getLogger("mvg").warning(
            "image or target of prompt %s does not say where it lies (%s): the grid of the image is taken for both",
            name, UNPLACED,
        )  # fmt: skip
        return type(target)(target.voxels, image.affine, image.header)
    if reordered is None:
        raise GeometryError(
            f"the target of prompt {name} lies on another grid than its image: {grid_difference(target, image)}",
            "image and target with one shape and affine",
            "resample the target onto the image's grid, or repair the header that is wrong",
        )
    return reordered


def _completed(labels: LabelMap, image: Volume) -> LabelMap:
    """Segments, which may cover only where something is labeled, on all of their image; as they are where none fits."""
    whole = onto_whole(labels, image, _SAME_GRID, IGNORED if IGNORED in labels.counts else 0)
    return labels if whole is None else without_unlabeled_slices(whole)
