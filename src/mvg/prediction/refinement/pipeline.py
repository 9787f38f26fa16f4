"""The refinements by name; the `postprocess` of a TaskSpec lists those of a task, in order."""

from dataclasses import replace
from functools import partial

from mvg.prediction.inference.context import PredictionContext, Refinement
from mvg.prediction.inference.volume_prediction import VolumePrediction
from mvg.prediction.refinement import inpainting, propagation, registration, rejection, zoom

REFINEMENTS: dict[str, Refinement] = {
    "rejection": rejection.refine,
    "propagation": propagation.refine,
    "zoom": zoom.refine,
    "registration": registration.refine,
    "inpainting": inpainting.refine,
}


def refine(context: PredictionContext, prediction: VolumePrediction, names: tuple[str, ...]) -> VolumePrediction:
    """Apply refinements in order. Each receives those before it in `context.earlier`, for slices it predicts again."""
    for number, name in enumerate(names):
        earlier = partial(refine, names=names[:number])
        prediction = REFINEMENTS[name](replace(context, earlier=earlier), prediction)
    return prediction
