"""Confident slices of a query become prompts of their neighbors, which are then predicted again."""

from dataclasses import replace

import numpy as np

from mvg.prediction.inference.context import PredictionContext
from mvg.prediction.inference.slices import predict_slices
from mvg.prediction.inference.volume_prediction import VolumePrediction


def refine(context: PredictionContext, prediction: VolumePrediction) -> VolumePrediction:
    """Predict again with the nearest confident slice on each side as further prompts.

    The new prediction passes through the earlier refinements of the task.
    Nothing changes where the options do not ask for it, where slices are cut into tiles, or without confident slices.
    """
    query, prompts = context.query, context.prompts
    if context.options.propagate <= 0 or len(query.frames) > 1:
        return prediction
    confident = np.flatnonzero(prediction.slice_confidence >= context.options.propagate)
    if not len(confident):
        return prediction
    frame = query.frames[0]
    images = np.concatenate([query.squares(int(number)) for number in confident])
    numbers = np.stack([frame.apply_labels(prediction.pixels[number]) for number in confident]).astype(np.uint8)
    joined = prompts.with_volume(images, numbers, query.first + confident, query.length)

    def neighbors(number: int) -> tuple[int, ...]:
        below, above = confident[confident < number][-1:], confident[confident > number][:1]
        return tuple(len(prompts) + int(np.searchsorted(confident, one)) for one in (*below, *above))

    extended = replace(context, cache=context.cache.extended(joined))
    planner = replace(context.planner(), prompts=joined)  # strategies still choose from the prompts alone
    return context.earlier(context, predict_slices(extended, planner, neighbors))
