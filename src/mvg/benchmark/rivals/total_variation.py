"""Total variation: raw data become the smoothest picture that agrees with them, with sharp edges (scikit-image)."""

from dataclasses import dataclass

from mvg.benchmark.protocol.method import Method, Request, Scope, TrainingData
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.reconstruction import smoothed
from mvg.tasks import Task
from mvg.tasks.measurement import as_volume

SCOPE: Scope = "untrained"
USES_PROMPTS = False


@dataclass(frozen=True)
class Options:
    """steps: of smoothing, each of which is made to agree with the raw data; weight: see `smoothed`."""

    steps: int = 30
    weight: float = 0.02


def serves(task: Task) -> bool:
    """Tasks whose queries were measured."""
    return task.spec.measurement is not None


def fit(options: Options, data: TrainingData) -> Method:
    """There is nothing to learn."""

    def predict(request: Request) -> Volume | LabelMap:
        measurement = request.measurement
        assert measurement is not None, "only tasks that are served"
        return as_volume(measurement, smoothed(measurement, measurement.initial(), options.steps, options.weight))

    return predict
