"""A second pass at a higher magnification, where labels are small or fine."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mvg.prediction.inference.context import PredictionContext
from mvg.prediction.inference.query_volume import QueryFeatures
from mvg.prediction.inference.slices import predict_slices
from mvg.prediction.inference.volume_prediction import VolumePrediction
from mvg.prediction.prompts.zoom_plan import ZoomRegion, label_extent, nearest_frame


def refine(context: PredictionContext, prediction: VolumePrediction) -> VolumePrediction:
    """Replace labels by those of the magnified query, except for classes that its prompts lack.

    The second pass goes through the earlier refinements of the task. Regions of a grid show parts of labels, which end
    everywhere: for them the first pass decides what is rejected. Pixels, uncertainty and probabilities are replaced in
    place; `prompted`, `confidence`, `area` and `rejected` go on describing the first pass, in which whole slices are
    comparable with those of the prompts.
    """
    zoom, query = context.zoom, context.query
    if zoom is None or context.options.zoom == "off":
        return prediction
    shape = query.shape[1:]
    frames = zoom.plan.frames(label_extent(prediction.pixels, context.spacing), shape, context.spacing)
    if not frames:
        return prediction
    chosen = nearest_frame(frames, shape)
    if len(frames) > 1:
        context.cache.forget_features()
    for number, (frame, (region, cache)) in enumerate(zip(frames, zoom.regions, strict=True)):
        options = context.options if region.position is None else replace(context.options, min_probability=0.0)
        features = QueryFeatures(context.model, query.with_frames((frame,)))
        magnified = replace(context, options=options, cache=cache, features=features, zoom=None, is_magnified=True)
        again = context.earlier(magnified, predict_slices(magnified, magnified.planner()))
        _merge(prediction, again, region, chosen == number)
        if len(frames) > 1:  # the features of all regions of a grid would fill the memory
            cache.forget_features()
    return prediction


def _merge(
    prediction: VolumePrediction, again: VolumePrediction, region: ZoomRegion, covered: NDArray[np.bool_]
) -> None:
    """Write the labels of a region's pixels (rows, cols) into the prediction."""
    for number in range(len(prediction.pixels)):
        pixels, magnified = prediction.pixels[number], again.pixels[number]
        if region.position is not None:
            magnified[_classes(prediction.rejected[number])[magnified]] = 0
        lacking = _classes(~again.prompted[number])[pixels]
        replaced = covered & ~(lacking & (magnified == 0))
        pixels[replaced] = magnified[replaced]
        if prediction.uncertainty is not None and again.uncertainty is not None:
            prediction.uncertainty[number][replaced] = again.uncertainty[number][replaced]
        if prediction.probabilities is not None and again.probabilities is not None:
            prediction.probabilities[:, number, replaced] = again.probabilities[:, number, replaced]


def _classes(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A table of class numbers, background first, that says which are marked (K,); it is faster than `np.isin`."""
    return np.concatenate([[False], marked])
