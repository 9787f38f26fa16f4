"""Our reconstruction from raw data by example, as `mvg reconstruct` does it."""

from dataclasses import dataclass

from mvg.benchmark.protocol.method import Method, Request, Scope, TrainingData
from mvg.benchmark.rivals import mvg
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.reconstruction import ReconstructionOptions
from mvg.tasks import Task

SCOPE: Scope = "untrained"
USES_PROMPTS = True


@dataclass(frozen=True)
class Options:
    """weights: an id or folder; rounds, smoothing: see `ReconstructionOptions`."""

    weights: str = "tiny"
    rounds: int = ReconstructionOptions.rounds
    smoothing: int = ReconstructionOptions.smoothing


def serves(task: Task) -> bool:
    """Tasks whose queries were measured."""
    return task.spec.measurement is not None


def check(options: Options) -> None:
    """Raise an error if the weights are missing or damaged, or an option is impossible."""
    mvg.check(mvg.Options(weights=options.weights))
    ReconstructionOptions(options.rounds, options.smoothing)


def fit(options: Options, data: TrainingData) -> Method:
    """Load the weights."""
    method = mvg.fit(mvg.Options(weights=options.weights), data)
    rounds = ReconstructionOptions(options.rounds, options.smoothing)

    def predict(request: Request) -> Volume | LabelMap:
        assert request.measurement is not None, "only tasks that are served"
        complete = [prompt.target for prompt in request.prompts if isinstance(prompt.target, Volume)]
        return method.predictor.reconstruct(request.measurement, complete, rounds)

    return predict
