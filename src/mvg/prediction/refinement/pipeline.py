"""The refinements by name, and the order in which a task applies them."""

from collections.abc import Callable

from mvg.prediction.inference.context import PredictionContext
from mvg.prediction.inference.volume_prediction import VolumePrediction
from mvg.prediction.refinement import inpainting, propagation, rejection, zoom

Refinement = Callable[[PredictionContext, VolumePrediction], VolumePrediction]

REFINEMENTS: dict[str, Refinement] = {
    "rejection": rejection.refine,
    "propagation": propagation.refine,
    "zoom": zoom.refine,
    "inpainting": inpainting.refine,
}


def refine(context: PredictionContext, prediction: VolumePrediction, names: tuple[str, ...]) -> VolumePrediction:
    """Apply refinements in order."""
    for name in names:
        prediction = REFINEMENTS[name](context, prediction)
    return prediction
