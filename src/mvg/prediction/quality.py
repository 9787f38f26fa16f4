"""An estimate of a prediction's quality without its truth, by reverse classification accuracy.

The query and its prediction become the prompts, the prompts' slices the queries (Valindria et al. 2017): a prediction
that is right leads back to the prompts' own labels.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.inference.ensemble import ViewPlanner, ensemble_output
from mvg.prediction.inference.prompt_cache import PromptCache
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.prompts.cutting import SliceLayout
from mvg.prediction.prompts.pairs import PairReader, PromptPairs
from mvg.prediction.prompts.prompt_set import PromptSet, prepare
from mvg.prediction.selection.retrieval import evenly_spaced

_QUERY_SLICES = 4  # slices of the query that a prompt slice is predicted from
_VOLUMES = 8  # prompt volumes that are predicted, one slice of each


@dataclass(frozen=True)
class Quality:
    """Estimates in [0, 1] of the Dice: the mean over classes and prompt slices, and by label value."""

    mean: float = 0.0
    by_label: Mapping[int, float] = field(default_factory=dict)


def quality(task: PromptedTask, query: Volume, labels: LabelMap) -> float:
    """An estimate in [0, 1] of the mean Dice over the classes of `labels`, the task's prediction for `query`.

    Errors are those of `quality_of`.
    """
    return quality_of(task, query, labels).mean


def quality_of(task: PromptedTask, query: Volume, labels: LabelMap) -> Quality:
    """Estimates of the Dice of `labels`, the task's prediction for `query`, also for each label.

    0 where the prediction is empty. Whole slices are compared, without zoom. Raises PromptError for tasks that predict
    pictures.
    """
    if task.spec.target_type != "labels":
        raise PromptError("a prediction that is a picture", "labels", "estimate the quality of segmentations only")
    predicted = _as_prompts(task, query, labels)
    labeled = np.flatnonzero(predicted.classes.any(axis=1))
    if not len(labeled):
        return Quality()
    predicted, model = predicted.subset(labeled), task.model
    cache = PromptCache(model, predicted)
    options = replace(task.options, strategy="nearest_slice", num_prompts=_QUERY_SLICES, members=1)
    planner = ViewPlanner(predicted, predicted.retrieval_index, options, cache.paints)
    scores = defaultdict[int, list[float]](list)
    for number in _largest_slices(task.prompts):
        views = planner.views(task.prompts.retrieval_index.as_query(number))
        features = {False: task.cache.features([number])}
        numbers = ensemble_output(cache, features.__getitem__, views).mean[0].argmax(0).numpy()
        for value, dice in _dice_of_classes(numbers, task.prompts.targets[number], task.prompts.values).items():
            scores[value].append(dice)
    if not scores:
        return Quality()
    every = [dice for one in scores.values() for dice in one]
    return Quality(float(np.mean(every)), {value: float(np.mean(one)) for value, one in scores.items()})


def expected_dice(labeled: int, wrong: float) -> float:
    """The Dice to expect of a segmentation with `labeled` pixels of which, and around which, `wrong` are likely wrong.

    Half of the wrong pixels are taken as labeled too much and half as labeled too little. 0 without labeled pixels.
    """
    return max(0.0, 1 - wrong / (2 * labeled)) if labeled else 0.0


def _as_prompts(task: PromptedTask, query: Volume, labels: LabelMap) -> PromptSet:
    """The query and its prediction as prompts, cut as they were predicted."""
    prompts = task.prompts
    query, modality = prompts.posed(query), prompts.modality_of(query)
    reader = PairReader(
        PromptPairs([query], [labels], modality=modality, ct_window=prompts.ct_window), task.spec, query.channels
    )
    size, plane = task.model.config.size, query.cut_along(prompts.plane)
    return prepare(reader, SliceLayout(size, None, prompts.values, plane))


def _largest_slices(prompts: PromptSet) -> list[int]:
    """Of some prompt volumes the slice with the largest labeled area."""
    area = (prompts.targets > 0).sum(axis=(1, 2))
    volumes = np.unique(prompts.volume[area > 0])
    return [int(np.argmax(np.where(prompts.volume == volume, area, -1))) for volume in evenly_spaced(volumes, _VOLUMES)]


def _dice_of_classes(predicted: np.ndarray, truth: np.ndarray, values: tuple[int, ...]) -> dict[int, float]:
    """Dice of each label value that the truth (s, s) holds; class numbers count `values` from 1 on."""
    scores = {}
    for number, value in enumerate(values, 1):
        if (truth == number).any():
            correct = float(((predicted == number) & (truth == number)).sum())
            scores[value] = 2 * correct / float((predicted == number).sum() + (truth == number).sum())
    return scores
