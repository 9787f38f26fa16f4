"""All slices of a query through the model: neighbors with the same prompts go through it together."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mvg.model.outputs import ImageFeatures
from mvg.prediction.inference.context import PredictionContext
from mvg.prediction.inference.continuity import continuity
from mvg.prediction.inference.ensemble import EnsembleOutput, ViewPlanner, ensemble_output
from mvg.prediction.inference.parallel import in_parallel
from mvg.prediction.inference.prompt_cache import PromptView, describe
from mvg.prediction.inference.query_volume import QueryVolume
from mvg.prediction.inference.through_plane import AnsweredSlices, joined, runs, trust_in
from mvg.prediction.inference.volume_prediction import VolumePrediction, empty_probabilities
from mvg.prediction.inference.whole_slices import combined
from mvg.prediction.inference.winners import winners_confidence, winning_classes

_MAPS = 16  # channels of query squares that go through the decoder together; more of them leave a core's cache
_MIN_PARTS = 4  # parts that a query's slices are predicted in, for cores to share
_UNCERTAINTY_MEMBERS = 4  # members whose spread is the uncertainty of a picture
_NEGLIGIBLE = 1e-4  # a class that is less likely than this in the whole slice is not restored

ExtraPrompts = Callable[[int], tuple[int, ...]]
"""A slice's number -> prompt slices that it is shown besides those that the strategy chooses."""


def predict_slices(
    context: PredictionContext, planner: ViewPlanner, extra: ExtraPrompts = lambda number: ()
) -> VolumePrediction:
    """The prediction for every slice, before any refinement; several slices at a time where there are several cores.

    Those of a volume's labels are joined along it, unless the options say otherwise.
    """
    result = _empty_result(context)
    add = _add_labels if context.prompts.has_labels else _add_picture

    def answer(numbers: range) -> list[_SliceOutput]:
        return list(_outputs(context, planner, extra, numbers))

    def add_one(output: _SliceOutput) -> int:
        add(context, result, output)
        return 1

    finished: Iterator[int]
    if context.joins_through_plane:
        together = _joined_through_plane(context, in_parallel(answer, _parts(context)))
        finished = (count for outputs in together for count in in_parallel(add_one, outputs))
    else:
        finished = in_parallel(lambda numbers: sum(map(add_one, answer(numbers))), _parts(context))
    for count in finished:
        for _ in range(count):
            context.on_slice()
    if result.uncertainty is not None and not context.prompts.has_labels:
        _add_spread(context, result, planner)
    return result


class SliceLabels(NamedTuple):
    """Class numbers and uncertainty (rows, cols); per class (K,), over the pixels it wins: mean probability, area."""

    numbers: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]
    confidence: NDArray[np.float32]
    area: NDArray[np.int64]


def decode_labels(
    query: QueryVolume, probabilities: NDArray[np.float32], kept: NDArray[np.float16] | None = None
) -> SliceLabels:
    """The labels of one slice from probabilities (f, K + 1, s, s): restored to the slice's resolution, then compared.

    Uncertainty is the entropy over the largest possible entropy. kept: (K + 1, rows, cols), receives the restored
    probabilities.
    """
    classes = probabilities.shape[1]
    best = query.restore(probabilities[:, 0])
    numbers = np.zeros(best.shape, np.uint8)
    entropy = _entropy(best)
    if kept is not None:
        kept[0] = best
    for number in range(1, classes):
        if probabilities[:, number].max() < _NEGLIGIBLE:
            continue
        likely = query.restore(probabilities[:, number])
        wins = likely > best
        numbers[wins] = number
        best = np.where(wins, likely, best)
        entropy += _entropy(likely)
        if kept is not None:
            kept[number] = likely
    area = np.bincount(numbers.ravel(), minlength=classes)[1:]
    confidence = np.zeros(classes - 1, np.float32)
    for present in np.flatnonzero(area):
        confidence[present] = best[numbers == present + 1].mean()
    return SliceLabels(numbers, np.clip(entropy / np.float32(np.log(classes)), 0, 1), confidence, area)


@dataclass(frozen=True, eq=False)
class _SliceOutput:
    """The output for one slice: the prediction of the ensemble for its f squares, and the views that were used.

    squares: (f, i, s, s), as the model received them; alone (f, K + 1, s, s): the mean before slices were joined along
    the volume, None where they are not.
    """

    number: int
    squares: NDArray[np.float32]
    output: EnsembleOutput
    views: tuple[PromptView, ...]
    alone: Float[Tensor, "f k s s"] | None = None


def _joined_through_plane(
    context: PredictionContext, answered: Iterable[Sequence[_SliceOutput]]
) -> Iterator[list[_SliceOutput]]:
    """The outputs for a query's slices, which come in order, after each was joined with its neighbors."""
    count, network = len(context.query), context.model.through_plane
    known: dict[int, _SliceOutput] = {}
    trust = () if network is None else trust_in(continuity(context.prompts, context.query.length))
    waiting = deque(runs(count, network))
    for outputs in answered:
        known |= {output.number: output for output in outputs}
        while waiting and waiting[0][1][-1] in known:
            part, window = waiting.popleft()
            neighbors = [known[number] for number in window]
            images = torch.from_numpy(np.stack([output.squares[0, 0] for output in neighbors]))
            means = torch.cat([output.output.mean for output in neighbors])
            with torch.inference_mode():
                mean = joined(AnsweredSlices(images, means, context.is_magnified), network, trust)
            yield [
                replace(item, output=replace(item.output, mean=mean[row : row + 1]), alone=item.output.mean)
                for row, item in enumerate(neighbors)
                if item.number in part
            ]
            first = waiting[0][1].start if waiting else count
            known = {number: output for number, output in known.items() if number >= first}


def _empty_result(context: PredictionContext) -> VolumePrediction:
    shape, classes = context.query.shape, len(context.prompts.values)
    pixels = np.zeros(shape, np.uint8) if classes else np.zeros(shape, np.float32)
    uncertainty = np.zeros(shape, np.float32) if context.wants_uncertainty else None
    probabilities = empty_probabilities(classes + 1, shape) if context.keeps_probabilities else None
    squares = None
    if context.spec.postprocess and not classes:
        size = context.model.config.size
        squares = np.zeros((shape[0], len(context.query.frames), size, size), np.float32)
    prompted, rejected = np.zeros((2, shape[0], classes), np.bool_)
    confidence, area = np.zeros((shape[0], classes), np.float32), np.zeros((shape[0], classes), np.int64)
    return VolumePrediction(pixels, prompted, confidence, area, rejected, uncertainty, probabilities, squares)


def _add_labels(context: PredictionContext, result: VolumePrediction, item: _SliceOutput) -> None:
    number = item.number
    indices = tuple({index for view in item.views for index in view.indices})
    result.prompted[number] = context.prompts.classes_in(indices)
    probabilities, one_frame = _with_whole_slice(context, item), len(context.query.frames) == 1
    if result.uncertainty is None and result.probabilities is None and one_frame:
        frame = context.query.frames[0]
        numbers, result.area[number] = winning_classes(frame, probabilities[0].numpy())
        result.pixels[number][frame.source.index] = numbers[frame.source.index]  # memory that stays 0 is never used
    else:
        kept = None if result.probabilities is None else result.probabilities[:, number]
        decoded = decode_labels(context.query, probabilities.numpy(), kept)
        result.pixels[number], result.confidence[number] = decoded.numbers, decoded.confidence
        result.area[number] = decoded.area
        if result.uncertainty is not None:
            result.uncertainty[number] = decoded.uncertainty
    if one_frame:
        alone = probabilities if item.alone is None else item.alone
        result.confidence[number] = winners_confidence(alone, probabilities)[0] * (result.area[number] > 0)


def _with_whole_slice(context: PredictionContext, item: _SliceOutput) -> Float[Tensor, "f k s s"]:
    """The probabilities of a slice; magnified ones are combined with those of the whole slice, which are kept."""
    probabilities, known = item.output.mean, context.whole_slices
    if known is None:
        return probabilities
    number = context.query.first + item.number
    if not context.is_magnified:
        known.keep(number, probabilities[0])
        return probabilities
    return combined(known.part(number, context.query.frames[0]), probabilities[0], context.weight)[None]


def _add_picture(context: PredictionContext, result: VolumePrediction, item: _SliceOutput) -> None:
    query, predicted = context.query, item.output.mean[:, 0].numpy()
    result.pixels[item.number] = query.raw_prediction(
        item.number, item.squares[:, 0], predicted, context.spec, context.prompts.target_window
    )
    if result.squares is not None:
        result.squares[item.number] = predicted
    if result.uncertainty is not None and context.options.members > 1:
        result.uncertainty[item.number] = _spread(query, item.output)


def _add_spread(context: PredictionContext, result: VolumePrediction, planner: ViewPlanner) -> None:
    """The uncertainty of pictures without an ensemble: the spread of further members, which change nothing else."""
    if context.options.members > 1:
        return
    planner = replace(planner, options=replace(context.options, members=_UNCERTAINTY_MEMBERS))
    uncertainty = result.uncertainty
    assert uncertainty is not None

    def predict(numbers: range) -> None:
        for item in _outputs(context, planner, lambda number: (), numbers):
            uncertainty[item.number] = _spread(context.query, item.output)

    deque(in_parallel(predict, _parts(context)), maxlen=0)


def _spread(query: QueryVolume, output: EnsembleOutput) -> NDArray[np.float32]:
    """Twice the standard deviation (rows, cols); 1 is the whole window."""
    return np.asarray(np.clip(2 * query.restore(output.spread[:, 0].numpy()), 0, 1), np.float32)


def _parts(context: PredictionContext) -> list[range]:
    """The slices in parts that are predicted at once: as many as are embedded together, but at least some parts."""
    count = len(context.query)
    size = min(context.features.batch, -(-count // _MIN_PARTS))
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _outputs(
    context: PredictionContext, planner: ViewPlanner, extra: ExtraPrompts, numbers: range
) -> Iterator[_SliceOutput]:
    """The output for some neighboring slices, in order; those that share their views go together."""
    planned = _planned(context, planner, extra, numbers)
    for views, group in groupby(zip(numbers, planned, strict=True), key=lambda item: item[1]):
        yield from _predicted(context, [number for number, _ in group], views)


def _planned(
    context: PredictionContext, planner: ViewPlanner, extra: ExtraPrompts, numbers: range
) -> Iterator[tuple[PromptView, ...]]:
    """The views of every slice; the slices are embedded in one batch."""
    query, frames, features = context.query, len(context.query.frames), context.features.get(numbers)
    for row, number in enumerate(numbers):
        of_slice = features[row * frames : (row + 1) * frames]
        squares = of_slice.images.cpu().numpy()
        described = query.query_slice(number, squares, _describer(of_slice))
        views = planner.views(described, extra(number))
        if context.model.config.independent_prompts:
            # Prompts do not attend to one another: sorted, more neighboring slices share their views.
            views = tuple(replace(view, indices=tuple(sorted(view.indices))) for view in views)
        yield views


def _describer(features: ImageFeatures) -> Callable[[int], NDArray[np.float32]]:
    return lambda square: describe(features[square : square + 1])[0]


def _predicted(
    context: PredictionContext, numbers: Sequence[int], views: tuple[PromptView, ...]
) -> Iterator[_SliceOutput]:
    frames = len(context.query.frames)
    features = {mirrored: context.features.get(numbers, mirrored) for mirrored in {view.mirrored for view in views}}
    squares = features[False].images.cpu().numpy()  # the first view of an ensemble is never mirrored
    present = int(context.prompts.classes_in(tuple({index for view in views for index in view.indices})).sum())
    parts, together = [], max(1, _MAPS // max(1, present))
    for start in range(0, len(numbers) * frames, together):
        part = {mirrored: whole[start : start + together] for mirrored, whole in features.items()}
        parts.append(ensemble_output(context.cache, part.__getitem__, views))
    output = EnsembleOutput.concatenate(parts)
    for row, number in enumerate(numbers):
        rows = slice(row * frames, (row + 1) * frames)
        yield _SliceOutput(number, squares[rows], output[rows], views)


def _entropy(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(-probability * np.log(np.maximum(probability, 1e-12)), np.float32)
