"""What differs between two grids, in words for messages."""

from collections.abc import Iterable

import numpy as np

from mvg.imaging.volume import LabelMap, Volume

_CORNERS = 0.1  # mm: formats round positions, and no voxel is as small as this
_RELATIVE = 1e-3  # of spacings and directions: smaller differences are not printed

UNPLACED = "NIfTI without sform and qform, NRRD without anatomical space, MetaImage without TransformMatrix"
"""Files that do not say where their voxels lie, for messages."""


def is_placed(image: Volume | LabelMap) -> bool:
    """Whether the file of an image, if it is of one, says where it lies in the patient."""
    return image.header is None or image.header.placed


def grid_difference(image: Volume | LabelMap, reference: Volume | LabelMap) -> str:
    """How the grid of `image` differs from that of `reference`: shape, spacing, origin or directions; "" for one grid.

    Grids are the same where shapes are equal and corners lie within 0.1 mm.
    """
    if image.same_grid(reference, tolerance=_CORNERS):
        return ""
    differences = []
    if image.shape != reference.shape:
        differences.append(f"shape {_text(image.shape)} and {_text(reference.shape)}")
    if not np.allclose(image.spacing, reference.spacing, rtol=_RELATIVE):
        differences.append(f"spacing {_text(image.spacing)} and {_text(reference.spacing)} mm")
    if np.abs(image.affine[:3, 3] - reference.affine[:3, 3]).max() > _CORNERS:
        differences.append(f"origin {_text(image.affine[:3, 3])} and {_text(reference.affine[:3, 3])} mm")
    one, other = (grid.affine[:3, :3] / grid.spacing for grid in (image, reference))
    if not np.allclose(one, other, atol=_RELATIVE):
        codes = ["".join(grid.axcodes) for grid in (image, reference)]
        differences.append(f"axes {codes[0]} and {codes[1]}" if codes[0] != codes[1] else "the directions of the axes")
    return ", ".join(differences) or "the positions of the corners"


def _text(numbers: Iterable[float | int]) -> str:
    return " x ".join(f"{number:.6g}" for number in numbers)
