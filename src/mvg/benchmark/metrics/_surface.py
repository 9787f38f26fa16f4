"""Distances between the surfaces of an answer and of the truth, label by label; what surface metrics are made of."""

from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from mvg.benchmark.metrics._overlap import overlaps
from mvg.benchmark.protocol.metric import Score
from mvg.errors import BenchmarkError

Surfaces = dict[str, NDArray[Any]]
"""Of two masks as surface-distance has it: distances (mm) in both directions, ascending, and areas of the elements."""


@lru_cache(maxsize=1)  # several metrics look at one answer in turn
def surfaces(judged: Score) -> dict[int, Surfaces | None]:
    """The distances of every label of truth or answer, by value; None where only one of them holds it.

    Spacing is that of the affine. Volumes of a single slice, and pictures, are compared in 2D: contours for surfaces.
    Raises BenchmarkError without the library.
    """
    tables = surface_library().lookup_tables
    answer, truth, spacing = _flat(judged)
    found: dict[int, Surfaces | None] = {}
    for value, overlap in overlaps(answer, truth).items():
        both = overlap.said and overlap.right
        found[value] = _distances(tables, truth == value, answer == value, spacing) if both else None
    return found


def surface_library() -> Any:
    """The module surface_distance; BenchmarkError where it is missing."""
    try:
        return import_module("surface_distance")
    except ImportError as problem:
        raise BenchmarkError(
            "the library surface-distance is missing", "it beside mvg", "pip install '.[benchmark]' in mvg's source"
        ) from problem


def diagonal(judged: Score) -> float:
    """The length of the volume's diagonal in mm, edges of voxels included; of a single slice: the slice's."""
    answer, _, spacing = _flat(judged)
    return float(np.linalg.norm(np.multiply(answer.shape, spacing)))


def _distances(
    tables: Any, truth: NDArray[np.bool_], answer: NDArray[np.bool_], spacing: tuple[float, ...]
) -> Surfaces:
    """What the library's compute_surface_distances says, several times faster: neighbours are found in a tree."""
    box = ndimage.find_objects((truth | answer).astype(np.uint8))[0]
    (right, right_areas), (said, said_areas) = (_borders(tables, mask[box], spacing) for mask in (truth, answer))
    found = {}
    for name, other, places, towards, areas in (
        ("gt", "pred", right, said, right_areas),
        ("pred", "gt", said, right, said_areas),
    ):
        nearest = KDTree(towards * spacing).query(places * spacing)[1]
        distances = np.sqrt((((places - towards[nearest]) * spacing) ** 2).sum(axis=1))
        order = np.lexsort((areas, distances))
        found[f"distances_{name}_to_{other}"], found[f"surfel_areas_{name}"] = distances[order], areas[order]
    return found


def _borders(
    tables: Any, mask: NDArray[np.bool_], spacing: tuple[float, ...]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Corners between voxels (n, axes) where the surface passes, and its area there: length in 2D."""
    solid = mask.ndim == 3
    kernel = tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL if solid else tables.ENCODE_NEIGHBOURHOOD_2D_KERNEL
    wide = np.pad(mask, 1).astype(np.uint8)
    code = np.zeros([length + 1 for length in mask.shape], np.uint8)
    for offset, weight in np.ndenumerate(kernel):
        part = tuple(slice(start, start + length) for start, length in zip(offset, code.shape, strict=True))
        code += wide[part] * np.uint8(weight)
    places = np.argwhere((code != 0) & (code != kernel.sum()))
    areas = (
        tables.create_table_neighbour_code_to_surface_area(spacing)
        if solid
        else tables.create_table_neighbour_code_to_contour_length(spacing)
    )
    return places, np.asarray(areas[code[tuple(places.T)]], np.float64)


def _flat(judged: Score) -> tuple[NDArray[Any], NDArray[Any], tuple[float, ...]]:
    """Labels of answer and truth with their spacing; one axis of length 1 is dropped."""
    axes = [axis for axis in range(3) if judged.truth.shape[axis] == 1][:1]
    spacing = tuple(step for axis, step in enumerate(judged.truth.spacing) if axis not in axes)
    return judged.answer.voxels.squeeze(tuple(axes)), judged.truth.voxels.squeeze(tuple(axes)), spacing
