"""Distances between the surfaces of prediction and truth, label by label, for the surface metrics."""

from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from mvg.benchmark.metrics._overlap import case_overlaps
from mvg.benchmark.protocol.metric import MetricInput
from mvg.errors import BenchmarkError

Surfaces = dict[str, NDArray[Any]]
"""Surfaces of two masks as surface-distance returns them: ascending distances (mm) both ways, and element areas."""


@lru_cache(maxsize=1)  # several metrics measure one prediction in turn
def surfaces(inputs: MetricInput) -> dict[int, Surfaces | None]:
    """The distances of every label of truth or prediction, by value; None where only one of them has it.

    Spacing is that of the affine. Volumes of a single slice, and pictures, are compared in 2D, by their contours.
    Raises BenchmarkError without the library.
    """
    tables = surface_library().lookup_tables
    prediction, truth, spacing = _without_flat_axis(inputs)
    return {
        label: _distances(tables, truth == label, prediction == label, spacing)
        if overlap.predicted and overlap.true
        else None
        for label, overlap in case_overlaps(inputs).items()
    }


def surface_library() -> Any:
    """The module surface_distance; BenchmarkError where it is missing."""
    try:
        return import_module("surface_distance")
    except ImportError as error:
        raise BenchmarkError(
            "the library surface-distance is missing", "it beside mvg", "pip install '.[benchmark]' in mvg's source"
        ) from error


def diagonal(inputs: MetricInput) -> float:
    """The length of the volume's diagonal in mm, edges of voxels included; of a single slice: the slice's."""
    prediction, _, spacing = _without_flat_axis(inputs)
    return float(np.linalg.norm(np.multiply(prediction.shape, spacing)))


def _distances(
    tables: Any, truth: NDArray[np.bool_], prediction: NDArray[np.bool_], spacing: tuple[float, ...]
) -> Surfaces:
    """The same as the library's compute_surface_distances, several times faster: neighbors are found in a tree."""
    box = ndimage.find_objects((truth | prediction).astype(np.uint8))[0]
    true, true_areas = _elements(tables, truth[box], spacing)
    predicted, predicted_areas = _elements(tables, prediction[box], spacing)
    distances: Surfaces = {}
    for name, other, points, targets, areas in (
        ("gt", "pred", true, predicted, true_areas),
        ("pred", "gt", predicted, true, predicted_areas),
    ):
        nearest = KDTree(targets * spacing).query(points * spacing)[1]
        lengths = np.sqrt((((points - targets[nearest]) * spacing) ** 2).sum(axis=1))
        order = np.lexsort((areas, lengths))
        distances[f"distances_{name}_to_{other}"], distances[f"surfel_areas_{name}"] = lengths[order], areas[order]
    return distances


def _elements(
    tables: Any, mask: NDArray[np.bool_], spacing: tuple[float, ...]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Corners between voxels (n, axes) that the surface passes, and its area there (its length in 2D)."""
    is_solid = mask.ndim == 3
    kernel = tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL if is_solid else tables.ENCODE_NEIGHBOURHOOD_2D_KERNEL
    padded = np.pad(mask, 1).astype(np.uint8)
    code = np.zeros([length + 1 for length in mask.shape], np.uint8)
    for offset, weight in np.ndenumerate(kernel):
        part = tuple(slice(start, start + length) for start, length in zip(offset, code.shape, strict=True))
        code += padded[part] * np.uint8(weight)
    corners = np.argwhere((code != 0) & (code != kernel.sum()))
    areas = (
        tables.create_table_neighbour_code_to_surface_area(spacing)
        if is_solid
        else tables.create_table_neighbour_code_to_contour_length(spacing)
    )
    return corners, np.asarray(areas[code[tuple(corners.T)]], np.float64)


def _without_flat_axis(inputs: MetricInput) -> tuple[NDArray[Any], NDArray[Any], tuple[float, ...]]:
    """Labels of prediction and truth with their spacing; one axis of length 1 is dropped."""
    axes = [axis for axis in range(3) if inputs.truth.shape[axis] == 1][:1]
    spacing = tuple(step for axis, step in enumerate(inputs.truth.spacing) if axis not in axes)
    return inputs.prediction.voxels.squeeze(tuple(axes)), inputs.truth.voxels.squeeze(tuple(axes)), spacing
