"""Distances between the surfaces of an answer and of the truth, label by label; what surface metrics are made of."""

import warnings
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.benchmark.judged import Judged
from mvg.benchmark.metrics._overlap import overlaps
from mvg.errors import BenchmarkProblem

Surfaces = dict[str, NDArray[Any]]
"""What surface-distance says of two masks: distances (mm) in both directions, and areas of the surface elements."""


@lru_cache(maxsize=1)  # several metrics look at one answer in turn
def surfaces(judged: Judged) -> dict[int, Surfaces | None]:
    """The distances of every label of truth or answer, by value; None where only one of them holds it.

    Spacing is that of the affine. Volumes of a single slice, and pictures, are compared in 2D: contours for surfaces.
    Raises BenchmarkProblem without the library.
    """
    library = surface_library()
    answer, truth, spacing = _flat(judged)
    found: dict[int, Surfaces | None] = {}
    for value, overlap in overlaps(answer, truth).items():
        both = overlap.said and overlap.right
        found[value] = _distances(library, truth == value, answer == value, spacing) if both else None
    return found


def surface_library() -> Any:
    """The module surface_distance; BenchmarkProblem where it is missing."""
    try:
        return import_module("surface_distance")
    except ImportError as problem:
        raise BenchmarkProblem(
            "the library surface-distance is missing", "it beside mvg", "pip install 'mvg[benchmark]'"
        ) from problem


def diagonal(judged: Judged) -> float:
    """The length of the volume's diagonal in mm, edges of voxels included; of a single slice: the slice's."""
    answer, _, spacing = _flat(judged)
    return float(np.linalg.norm(np.multiply(answer.shape, spacing)))


def _distances(
    library: Any, truth: NDArray[np.bool_], answer: NDArray[np.bool_], spacing: tuple[float, ...]
) -> Surfaces:
    with warnings.catch_warnings():  # it calls scipy by names that scipy is about to drop
        warnings.simplefilter("ignore", DeprecationWarning)
        found: Surfaces = library.compute_surface_distances(truth, answer, spacing)
    return found


def _flat(judged: Judged) -> tuple[NDArray[Any], NDArray[Any], tuple[float, ...]]:
    """Labels of answer and truth with their spacing; one axis of length 1 is dropped."""
    axes = [axis for axis in range(3) if judged.truth.shape[axis] == 1][:1]
    spacing = tuple(step for axis, step in enumerate(judged.truth.spacing) if axis not in axes)
    return judged.answer.voxels.squeeze(tuple(axes)), judged.truth.voxels.squeeze(tuple(axes)), spacing
