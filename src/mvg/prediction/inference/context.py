"""What a prediction is made from; refinements receive it with the prediction."""

from collections.abc import Callable
from dataclasses import dataclass

from mvg.model.generalist import Generalist
from mvg.prediction.inference.ensemble import ViewPlanner
from mvg.prediction.inference.prompt_cache import PromptCache
from mvg.prediction.inference.query_volume import QueryFeatures, QueryVolume
from mvg.prediction.inference.volume_prediction import VolumePrediction
from mvg.prediction.inference.whole_slices import WholeSlices
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.prompts.zoom_plan import ZoomPlan, ZoomRegion
from mvg.tasks import TaskSpec

_ZOOM_CACHE_BYTES = 3 * 2**27  # encoded prompts of all magnified regions together

Refinement = Callable[["PredictionContext", VolumePrediction], VolumePrediction]
"""Improves a prediction; it may write into the arrays of the one that it receives, so only the result is used after."""


@dataclass(frozen=True, eq=False)
class ZoomPass:
    """The magnified prompts of a task: a plan, and a cache for the prompts of each of its regions."""

    plan: ZoomPlan
    caches: tuple[PromptCache, ...]

    @classmethod
    def of(cls, model: Generalist, plan: ZoomPlan) -> "ZoomPass":
        """The plan with empty caches."""
        budget = _ZOOM_CACHE_BYTES // len(plan.regions)
        return cls(plan, tuple(PromptCache(model, region.prompts, budget) for region in plan.regions))

    @property
    def regions(self) -> tuple[tuple[ZoomRegion, PromptCache], ...]:
        """Every region with its cache."""
        return tuple(zip(self.plan.regions, self.caches, strict=True))


def _unchanged(context: "PredictionContext", prediction: VolumePrediction) -> VolumePrediction:
    return prediction


@dataclass(frozen=True, eq=False)
class PredictionContext:
    """A query, the prompts, and how they are used.

    spacing: pixel spacing of the query's slices in mm; slice_distance: between them. zoom: the magnified prompts, None
    without. is_magnified: whether query and prompts are magnified parts of slices. on_slice(): called whenever a slice
    is done. earlier: the refinements before the present one in the task's list; a refinement that predicts slices again
    applies them to the new prediction.
    """

    spec: TaskSpec
    options: PredictionOptions
    cache: PromptCache
    features: QueryFeatures
    spacing: tuple[float, float]
    zoom: ZoomPass | None = None
    on_slice: Callable[[], None] = lambda: None
    earlier: Refinement = _unchanged
    is_magnified: bool = False
    slice_distance: float = 1.0
    whole_slices: WholeSlices | None = None
    weight: float = 1.0

    @property
    def model(self) -> Generalist:
        """The network."""
        return self.cache.model

    @property
    def prompts(self) -> PromptSet:
        """The prompt slices."""
        return self.cache.prompts

    @property
    def query(self) -> QueryVolume:
        """The query."""
        return self.features.query

    @property
    def joins_through_plane(self) -> bool:
        """Whether labels are joined along the volume: an option, for several slices that are one square each."""
        applies = self.prompts.has_labels and len(self.query) > 1 and len(self.query.frames) == 1
        return applies and self.options.through_plane == "auto"

    @property
    def uses_registration(self) -> bool:
        """Whether labels of prompts are warped onto the query: an option, for whole slices of several."""
        several = len(self.query) > 1 and not self.is_magnified
        return self.prompts.has_labels and several and self.options.registration == "auto"

    @property
    def keeps_probabilities(self) -> bool:
        """Whether the probabilities of all pixels are kept: an option, and what a prior changes."""
        return self.prompts.has_labels and (self.options.probabilities or self.options.registration == "auto")

    @property
    def wants_uncertainty(self) -> bool:
        """Whether uncertainty is computed: an option, and always for ensembles."""
        return self.options.uncertainty or self.options.members > 1

    def planner(self) -> ViewPlanner:
        """Chooses prompts for the slices of the query."""
        return ViewPlanner(self.prompts, self.cache.index, self.options, self.cache.paints)
