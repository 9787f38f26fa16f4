"""What a prediction is made from; refinements receive it with the prediction."""

from collections.abc import Callable
from dataclasses import dataclass

from mvg.model.generalist import Generalist
from mvg.prediction.inference.ensemble import ViewPlanner
from mvg.prediction.inference.prompt_cache import PromptCache
from mvg.prediction.inference.query_volume import QueryFeatures, QueryVolume
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.prompts.zoom_plan import ZoomPlan
from mvg.tasks import TaskSpec


@dataclass(frozen=True, eq=False)
class PredictionContext:
    """A query, the prompts, and how they are used.

    spacing: pixel spacing of the query's slices in mm. zoom, zoom_caches: the magnified prompts, region by region.
    on_slice(): called whenever a slice is done.
    """

    spec: TaskSpec
    options: PredictionOptions
    cache: PromptCache
    features: QueryFeatures
    spacing: tuple[float, float]
    zoom: ZoomPlan | None = None
    zoom_caches: tuple[PromptCache, ...] = ()
    on_slice: Callable[[], None] = lambda: None

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
    def wants_uncertainty(self) -> bool:
        """Whether uncertainty is computed: asked for, or known anyway from an ensemble."""
        return self.options.uncertainty or self.options.members > 1

    def planner(self) -> ViewPlanner:
        """Chooses prompts for the slices of the query."""
        painted = bool(self.prompts.values) and self.model.config.paints
        return ViewPlanner(self.prompts, self.cache.index, self.options, painted)
