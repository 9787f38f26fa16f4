"""Slices of a prompt volume predicted from the other prompt volumes: what shows how well prompts serve."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mvg.prediction.inference.ensemble import EnsembleOutput, ViewPlanner, ensemble_output
from mvg.prediction.inference.prompt_cache import PromptCache
from mvg.prediction.options import PredictionOptions


def held_out_outputs(
    cache: PromptCache, options: PredictionOptions, volume: int, numbers: Sequence[int], most: int | None = None
) -> Iterator[EnsembleOutput]:
    """The output of one member for each of the slices `numbers` of a prompt volume, from the other volumes.

    most: slices of each of these, evenly spaced; None for all.
    """
    others, kept = cache.index.without_volume(volume, most)
    planner = ViewPlanner(cache.prompts, others, replace(options, members=1), cache.paints, kept)
    for number in numbers:
        (view,) = planner.views(cache.index.as_query(number))
        view = replace(view, indices=tuple(sorted(view.indices)))
        yield ensemble_output(cache, {False: cache.features([number])}.__getitem__, (view,))
