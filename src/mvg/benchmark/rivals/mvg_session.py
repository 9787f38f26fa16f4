"""Our model in a session: some slices of the query are annotated, and all others follow from them."""

from dataclasses import dataclass
from typing import Literal

from mvg.benchmark.protocol.method import Request, Scope, TrainingData
from mvg.errors import BenchmarkError
from mvg.imaging.volume import LabelMap
from mvg.imaging.window import guess_modality
from mvg.prediction.inference.same_volume import Combination
from mvg.prediction.predictor import Predictor, load
from mvg.prediction.session import Session
from mvg.prediction.session_start import SessionStart
from mvg.tasks import Task

SCOPE: Scope = "untrained"
USES_PROMPTS = True
CORRECTS = True


@dataclass(frozen=True)
class Options:
    """weights: an id or folder. combination: see `SameVolume`. order: which slices are annotated, evenly spaced ones or
    those that the session names, after the middle one. examples: prompt volumes of other patients beside them.
    """

    weights: str = "tiny"
    combination: Combination = "learnt"
    order: Literal["even", "uncertain"] = "even"
    examples: int = 0


def serves(task: Task) -> bool:
    """Tasks that predict labels."""
    return task.spec.target_type == "labels"


def fit(options: Options, data: TrainingData) -> "Corrected":
    """Load the weights. Raises BenchmarkError for examples with another combination than the usual one."""
    if options.examples and options.combination != "learnt":
        raise BenchmarkError("examples with another combination", "combination = 'learnt'", "correct the suite")
    return Corrected(load(options.weights, data.device), options)


class Corrected:
    """A session per request."""

    def __init__(self, predictor: Predictor, options: Options) -> None:
        self._predictor, self._options = predictor, options

    def __call__(self, request: Request) -> LabelMap:
        """The labels after the annotator's slices."""
        annotator = request.annotator
        assert annotator is not None, "a request with an annotator"
        session = self._session(request)
        even = annotator.evenly()
        if self._options.order == "even":
            for index in even:
                session.correct(index, annotator.annotate(index))
            return session.finish()
        index = even[len(even) // 2]
        for _ in range(annotator.count):
            session.correct(index, annotator.annotate(index))
            (index,) = session.uncertain(1) or (index,)
        return session.finish()

    def _session(self, request: Request) -> Session:
        if self._options.examples:
            prompts = request.prompts[: self._options.examples]
            images, targets = [prompt.image for prompt in prompts], [prompt.target for prompt in prompts]
            task = self._predictor.prompt(images, targets, "segmentation", modality=request.modality)
            return task.open(request.query)
        values = tuple(sorted(value for value in request.task.card.labels if value not in request.task.card.ignored))
        modality = request.modality or guess_modality(request.query.voxels)
        start = SessionStart(values, modality, combination=self._options.combination)
        return Session(self._predictor.model, request.query, start)
