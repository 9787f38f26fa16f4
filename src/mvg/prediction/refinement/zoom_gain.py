"""Whether a magnified region serves a label: prompts are predicted from one another, with it and without."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mvg.prediction.inference.context import ZoomPass
from mvg.prediction.inference.held_out import held_out_outputs
from mvg.prediction.inference.parallel import in_parallel
from mvg.prediction.inference.prompt_cache import PromptCache
from mvg.prediction.inference.whole_slices import combined, cropped
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompts.label_extents import label_extent
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.prompts.zoom_plan import ZoomRegion
from mvg.prediction.refinement.alignment import are_aligned
from mvg.prediction.selection.retrieval import evenly_spaced

_VOLUMES, _SLICES = 6, 3  # prompt volumes that are predicted from the others, and slices of each label
_CHOICE = 16  # slices of each other volume to choose prompts from; more cost time and decide alike
_FEWEST = 3  # volumes that show a label, for a decision
_MOST_REGIONS = 9  # of a grid that is tried; more would take too long
_NEAR = 0.25  # distance between true and predicted centers, as a share of the region, at which labels are found

_Counts = NDArray[np.float64]
"""Of a volume (2, K, 3): whole slices alone, and with the region; per class its correct, predicted and true pixels."""


def served_classes(cache: PromptCache, zoom: ZoomPass, options: PredictionOptions) -> list[tuple[int, ...]]:
    """The classes that each region of a plan should predict instead of whole slices, region by region.

    A grid, or a region about all labels, keeps the classes that it does not clearly lose; a region about a group of
    small labels gets those that it does not clearly lose in volumes, or clearly gains in single slices, and that gain
    more than in a grid. Where fewer than three prompt volumes show a label, the former keep it and the latter does not
    get it. Computed once and kept with the prompts.
    """
    key = options.choice_of_prompts
    with cache.lock:
        if key not in cache.zoom_gains:
            cache.zoom_gains[key] = _gains(cache, zoom, options)
        gains = cache.zoom_gains[key]
    served = []
    for (region, _), gain in zip(zoom.regions, gains, strict=True):
        if region.classes:
            chosen = (gain > 0) & (gain >= np.nan_to_num(gains, nan=-1.0).max(axis=0))
            served.append(tuple(number for number in region.classes if chosen[number - 1]))
        else:
            served.append(tuple((1 + np.flatnonzero(~(gain < 0))).tolist()))
    return served


def _gains(cache: PromptCache, zoom: ZoomPass, options: PredictionOptions) -> NDArray[np.float32]:
    """The gain in Dice of each class in each region (r, K), with the benefit of the doubt; NaN where it is unknown.

    What is usual needs no proof: a standard error is added, but taken off for groups of labels in single slices, where
    a wrong guess of their place is magnified. In volumes, whose regions often show different parts of the body, a grid
    has -1 for each class where it does not gain in the mean over classes, or where labels lie in different places.
    """
    regions, classes = zoom.regions, len(cache.prompts.values)
    gains = np.full((len(regions), classes), np.nan, np.float32)
    volumes = np.unique(cache.prompts.volume)
    if not has_enough_volumes(cache.prompts) or not all(np.isfinite(region.centers).all() for region, _ in regions):
        return gains
    sample, whole = evenly_spaced(volumes, _VOLUMES).tolist(), dict[int, Float[Tensor, "k s s"]]()
    for together in _compared_together(zoom, classes):
        region = regions[together[0]][0]
        if region.position is not None and has_volumes(cache.prompts) and not are_aligned(cache.prompts):
            gains[together] = -1
            continue
        compare = partial(_compared, cache, [regions[number] for number in together], options, whole)
        means, errors = _gain(np.array(list(in_parallel(compare, sample))))
        if len(regions) > 1:  # the features of all regions would fill the memory
            for number in together:
                regions[number][1].forget_features()
        gains[together] = means + errors * (-1 if region.classes and not has_volumes(cache.prompts) else 1)
        if region.position is not None and has_volumes(cache.prompts) and np.nan_to_num(means).sum() <= 0:
            gains[together] = np.where(np.isnan(means), np.nan, -1)
        if region.classes:
            others = [number for number in range(classes) if number + 1 not in region.classes]
            gains[np.ix_(together, others)] = np.nan
    return gains


def has_enough_volumes(prompts: PromptSet) -> bool:
    """Whether prompt volumes can be compared with one another at all."""
    return len(np.unique(prompts.volume)) >= _FEWEST


def has_volumes(prompts: PromptSet) -> bool:
    """Whether prompts are volumes rather than single slices."""
    return bool(np.median(prompts.count) > 1)


def _compared_together(zoom: ZoomPass, classes: int) -> list[list[int]]:
    """The numbers of the regions that are compared at a time: those of a grid, and each of the others."""
    grid = [number for number, (region, _) in enumerate(zoom.regions) if region.position is not None]
    others = [[number] for number, (region, _) in enumerate(zoom.regions) if region.position is None]
    return [grid, *others] if 0 < len(grid) <= _MOST_REGIONS and classes > 1 else others


def _gain(counts: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean gain of each class (K,) and its standard error, from the counts of volumes (v, 2, K, 3).

    NaN where too few volumes show a class.
    """
    correct, predicted, true = np.moveaxis(counts, -1, 0)
    dice = 2 * correct / np.maximum(predicted + true, 1)
    means, errors = np.full((2, counts.shape[2]), np.nan, np.float32)
    for number in range(len(means)):
        present = true[:, 0, number] > 0
        if present.sum() >= _FEWEST:
            difference = dice[present, 1, number] - dice[present, 0, number]
            means[number], errors[number] = difference.mean(), difference.std(ddof=1) / len(difference) ** 0.5
    return means, errors


def _compared(
    cache: PromptCache,
    regions: Sequence[tuple[ZoomRegion, PromptCache]],
    options: PredictionOptions,
    known: dict[int, Float[Tensor, "k s s"]],
    volume: int,
) -> _Counts:
    """The counts of a prompt volume, predicted from the others, within some regions.

    known: whole slices by their numbers, as they were predicted before; the others are added.
    """
    counts = np.zeros((2, len(cache.prompts.values), 3))
    numbers = _showing(cache.prompts, regions[0][0], _samples(cache.prompts, volume))
    missing = [number for number in numbers if number not in known]
    for number, output in zip(missing, held_out_outputs(cache, options, volume, missing, _CHOICE), strict=True):
        known[number] = output.mean[0].half()
    whole = [known[number].float() for number in numbers]
    for region, magnified in regions:
        outputs = held_out_outputs(magnified, options, volume, numbers, _CHOICE)
        side = cache.prompts.images.shape[-1] / region.magnification
        row, column = (float(at) for at in region.centers[volume])
        for number, square, output in zip(numbers, whole, outputs, strict=True):
            truth, alone = region.prompts.targets[number], cropped(square, (row, column), (side, side))
            for kind, probabilities in enumerate((alone, combined(alone, output.mean[0], region.weight))):
                counts[kind] += list(_counted(probabilities.numpy().argmax(0), truth, len(counts[0])))
        if region.classes and not _meets_center(whole, region, volume):
            counts[1, :, 0] = 0
    return counts


def _meets_center(whole: Sequence[Float[Tensor, "k s s"]], region: ZoomRegion, volume: int) -> bool:
    """Whether whole slices show where a region's labels are; else a query is magnified elsewhere."""
    labels = np.stack([np.isin(square.numpy().argmax(0), region.classes) for square in whole])
    extent = label_extent(labels, (1.0, 1.0))
    if extent is None:
        return False
    distance = np.abs(np.array(extent.center) - region.centers[volume]).max()
    return bool(distance <= _NEAR * labels.shape[-1] / region.magnification)


def _samples(prompts: PromptSet, volume: int) -> list[int]:
    """Prompt slices of a volume in order, so many that `_SLICES` of them show each label, as far as it has them."""
    members = np.flatnonzero(prompts.volume == volume)
    chosen = list[int]()
    for present in prompts.classes[members].T:
        labeled = members[present]
        others = labeled[~np.isin(labeled, chosen)]
        missing = min(_SLICES - (len(labeled) - len(others)), len(others))
        chosen += [int(others[int((step + 0.5) / missing * len(others))]) for step in range(missing)]
    return sorted(chosen) or [int(number) for number in evenly_spaced(members, _SLICES)]


def _showing(prompts: PromptSet, region: ZoomRegion, numbers: Sequence[int]) -> list[int]:
    """Those of some slices that show labels of a region; all of them where none does."""
    classes = [number - 1 for number in region.classes] or slice(None)
    return [number for number in numbers if prompts.classes[number, classes].any()] or list(numbers)


def _counted(numbers: NDArray[np.int64], truth: NDArray[np.uint8], classes: int) -> Iterator[tuple[int, int, int]]:
    for number in range(1, classes + 1):
        predicted, true = numbers == number, truth == number
        yield int((predicted & true).sum()), int(predicted.sum()), int(true.sum())
