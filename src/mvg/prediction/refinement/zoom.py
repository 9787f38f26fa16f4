"""A second pass at a higher magnification, where labels are small or fine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame
from mvg.prediction.inference.context import PredictionContext
from mvg.prediction.inference.prompt_cache import PromptCache
from mvg.prediction.inference.query_volume import QueryFeatures
from mvg.prediction.inference.slices import predict_slices
from mvg.prediction.inference.volume_prediction import VolumePrediction
from mvg.prediction.prompts.label_extents import label_extent
from mvg.prediction.prompts.zoom_plan import ZoomRegion, nearest_frame
from mvg.prediction.refinement.alignment import is_aligned_with_prompts
from mvg.prediction.refinement.zoom_gain import has_enough_volumes, has_volumes, served_classes

_BEYOND, _FEWEST_BEYOND = 0.2, 3  # slices beyond those of a group's labels: share of their number, and at least


def refine(context: PredictionContext, prediction: VolumePrediction) -> VolumePrediction:
    """Replace labels by those of the magnified query, except for classes that its prompts lack or whole slices serve.

    Those of the magnified query are combined with those of whole slices, unless the task was tuned: then what corrects
    magnified answers was measured on these alone.
    The second pass of a region about all labels goes through the earlier refinements of the task. Other regions show
    parts of labels, or some labels: for those of a grid the first pass decides what is rejected. Pixels, uncertainty
    and probabilities are replaced in place; `prompted`, `confidence`, `area` and `rejected` go on describing the first
    pass, in which whole slices are comparable with those of the prompts.
    """
    if context.zoom is None or context.options.zoom == "off":
        return prediction
    shape = context.query.shape[1:]
    served = served_classes(context.cache, context.zoom, context.options)
    if any(region.position is not None for region, _ in context.zoom.regions) and not _grid_fits(context, prediction):
        regions = zip(context.zoom.regions, served, strict=True)
        served = [classes if region.position is None else () for (region, _), classes in regions]
    passes = list(_passes(context, prediction, served))
    if len(passes) > 1:
        context.cache.forget_features()
    for one, covered in _covered(passes, shape):
        _merge(prediction, _again(context, one), one, covered)
        if len(passes) > 1:  # the features of all regions would fill the memory
            one.cache.forget_features()
    return prediction


def _grid_fits(context: PredictionContext, prediction: VolumePrediction) -> bool:
    """Whether regions of a grid show the same parts of prompts and query; asked where prompts could not be compared.

    In volumes with several labels these say where the parts lie.
    """
    prompts = context.prompts
    if has_enough_volumes(prompts) or not has_volumes(prompts) or len(prompts.values) < 2:
        return True
    return is_aligned_with_prompts(context, prediction)


@dataclass(frozen=True, eq=False)
class _Pass:
    """A region of the query that is predicted again in some slices, for some classes."""

    frame: Frame
    region: ZoomRegion
    cache: PromptCache
    classes: tuple[int, ...]
    slices: range


def _passes(
    context: PredictionContext, prediction: VolumePrediction, served: Sequence[tuple[int, ...]]
) -> Iterator[_Pass]:
    assert context.zoom is not None
    shape, spacing = context.query.shape[1:], context.spacing
    for (region, cache), classes in zip(context.zoom.regions, served, strict=True):
        if not classes:
            continue
        slices, extent = range(len(prediction.pixels)), None
        if region.classes:
            slices = _near(prediction, region.classes)
            extent = label_extent(_marked(prediction, region.classes, slices), spacing)
        elif region.position is None:
            extent = label_extent(prediction.pixels, spacing)
        frame = region.frame(extent, shape, spacing)
        if frame is not None:
            yield _Pass(frame, region, cache, classes, slices)


def _near(prediction: VolumePrediction, classes: Sequence[int]) -> range:
    """The slices in which some labels were predicted, from the first to the last, and some beyond."""
    kept = (prediction.area > 0) & ~prediction.rejected
    numbers = np.flatnonzero(kept[:, _mask(classes, kept.shape[1])].any(axis=1))
    if not len(numbers):
        return range(0)
    first, end = int(numbers[0]), int(numbers[-1]) + 1
    margin = max(_FEWEST_BEYOND, round(_BEYOND * (end - first)))
    return range(max(0, first - margin), min(len(kept), end + margin))


def _marked(prediction: VolumePrediction, classes: Sequence[int], slices: range) -> NDArray[np.bool_]:
    """Where some classes were predicted in some slices (n, rows, cols)."""
    table = _table(_mask(classes, prediction.area.shape[1]))
    return np.asarray(table[prediction.pixels[slices.start : slices.stop]])


def _covered(passes: Sequence[_Pass], shape: tuple[int, int]) -> Iterator[tuple[_Pass, NDArray[np.bool_]]]:
    """Each pass with the pixels (rows, cols) that it predicts; regions of a grid share theirs out."""
    grid = [one for one in passes if one.region.position is not None]
    if grid:
        chosen = nearest_frame(tuple(one.frame for one in grid), shape)
        yield from ((one, chosen == number) for number, one in enumerate(grid))
    for one in passes:
        if one.region.position is None:
            yield one, nearest_frame((one.frame,), shape) == 0


def _again(context: PredictionContext, one: _Pass) -> VolumePrediction:
    """The prediction for the magnified query."""
    options, partial = context.options, one.region.position is not None or bool(one.region.classes)
    query = context.query.part(one.slices) if one.region.classes else context.query
    features = QueryFeatures(context.model, query.with_frames((one.frame,)))
    magnified = replace(
        context, options=replace(options, min_probability=0.0) if partial else options, cache=one.cache,
        features=features, zoom=None, is_magnified=True,
        weight=one.region.weight if one.cache.correction is None else 1.0,
    )  # fmt: skip
    return context.earlier(magnified, predict_slices(magnified, magnified.planner()))


def _merge(prediction: VolumePrediction, again: VolumePrediction, one: _Pass, covered: NDArray[np.bool_]) -> None:
    """Write the labels of a region's pixels (rows, cols) into the prediction, those of the classes that it serves."""
    served = _mask(one.classes, again.prompted.shape[1])
    for row, number in enumerate(one.slices):
        pixels, magnified = prediction.pixels[number], again.pixels[row]
        kept = served & ~prediction.rejected[number] if one.region.position is not None else served
        magnified = np.where(_table(kept)[magnified], magnified, 0)
        mine = _table(served & again.prompted[row])
        mine[0] = served.all()
        replaced = covered & (mine[pixels] | (magnified != 0))
        pixels[replaced] = magnified[replaced]
        if prediction.uncertainty is not None and again.uncertainty is not None:
            prediction.uncertainty[number][replaced] = again.uncertainty[row][replaced]
        if prediction.probabilities is not None and again.probabilities is not None:
            prediction.probabilities[:, number, replaced] = again.probabilities[:, row, replaced]


def _mask(classes: Sequence[int], count: int) -> NDArray[np.bool_]:
    """Which of the classes from 1 to `count` are in `classes` (K,)."""
    return np.isin(np.arange(1, count + 1), classes)


def _table(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A table of class numbers, background first, that says which are marked (K,); it is faster than `np.isin`."""
    return np.concatenate([[False], marked])
