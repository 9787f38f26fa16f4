"""Prompts of a task for slices of a volume that also has annotated slices of its own."""

from dataclasses import replace

from mvg.model.outputs import PromptState
from mvg.prediction.inference.ensemble import ViewPlanner
from mvg.prediction.inference.other_knowledge import OtherPrompts
from mvg.prediction.inference.prompt_cache import PromptCache, describe
from mvg.prediction.inference.query_volume import QueryFeatures
from mvg.prediction.options import PredictionOptions


def other_prompts(cache: PromptCache, options: PredictionOptions, features: QueryFeatures) -> OtherPrompts | None:
    """The prompts that the task's strategy chooses for each slice of a query; None for networks that cannot join them.

    The frame of the query is that of whole slices, as the prompts have it.
    """
    if cache.paints or not cache.model.config.independent_prompts:
        return None
    planner = ViewPlanner(cache.prompts, cache.index, replace(options, members=1), cache.paints)

    def state_for(number: int) -> PromptState:
        of_slice = features.get([number])
        described = features.query.query_slice(
            number, of_slice.images.cpu().numpy(), lambda square: describe(of_slice)[0]
        )
        (view,) = planner.views(described)
        return cache.state(replace(view, indices=tuple(sorted(view.indices))))

    return state_for
