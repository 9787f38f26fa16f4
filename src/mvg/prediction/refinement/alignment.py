"""Whether slices of different volumes show the same parts of the body in the same places."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame
from mvg.prediction.inference.context import PredictionContext
from mvg.prediction.inference.volume_prediction import VolumePrediction
from mvg.prediction.prompts.label_extents import label_extent
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.selection.retrieval import evenly_spaced

_SLICES = 16  # of the query that are looked at
_MISPLACED = 0.035  # share of a whole slice that labels may lie apart


def is_aligned_with_prompts(context: PredictionContext, prediction: VolumePrediction) -> bool:
    """Whether the predicted labels of a query lie where the prompts have theirs; yes where no label is in both."""
    return misplacement(context, prediction) <= _MISPLACED


def are_aligned(prompts: PromptSet) -> bool:
    """Whether labels lie in the same places of all prompt volumes; yes where no two volumes show the same label."""
    centers: dict[int, list[NDArray[np.float64]]] = {}
    for label, center in _centers_in_prompts(prompts):
        centers.setdefault(label, []).append(center)
    pairs = (pair for of_label in centers.values() for pair in combinations(of_label, 2))
    distances = [np.abs(one - other).max() for one, other in pairs]
    return not distances or float(np.median(distances)) <= _MISPLACED


def misplacement(context: PredictionContext, prediction: VolumePrediction) -> float:
    """How far labels of a query lie from those of the prompts, as a share of the square of a whole slice.

    The median over labels and prompt volumes of the distance between their centers along the axis where it is larger;
    0 where no label is in both.
    """
    sampled = np.asarray(prediction.pixels, np.uint8)[evenly_spaced(np.arange(len(prediction.pixels)), _SLICES)]
    query = _centers_in_query(sampled, context)
    distances = [
        np.abs(query[label] - center).max() for label, center in _centers_in_prompts(context.prompts) if label in query
    ]
    return float(np.median(distances)) if distances else 0.0


def _centers_in_query(labels: NDArray[np.uint8], context: PredictionContext) -> dict[int, NDArray[np.float64]]:
    """The center of each class in slices (n, rows, cols), as shares of the square of a whole slice."""
    shape, size = (labels.shape[1], labels.shape[2]), context.prompts.images.shape[-1]
    box = Frame.letterbox(shape, context.spacing, size).target
    first, sides = np.array([box.top, box.left]), np.array([box.rows, box.cols])
    centers = {}
    for label in np.unique(labels[labels > 0]).tolist():
        extent = label_extent(labels == label, context.spacing)
        if extent is not None:
            centers[label] = (first + np.array(extent.center) / shape * sides) / size
    return centers


def _centers_in_prompts(prompts: PromptSet) -> list[tuple[int, NDArray[np.float64]]]:
    """Classes with their centers in each prompt volume, as shares of the square."""
    centers = []
    for volume in np.unique(prompts.volume):
        targets = prompts.targets[prompts.volume == volume]
        for label in np.unique(targets[targets > 0]).tolist():
            extent = label_extent(targets == label, (1.0, 1.0))
            if extent is not None:
                centers.append((label, np.array(extent.center) / targets.shape[-1]))
    return centers
