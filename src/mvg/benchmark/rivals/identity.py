"""Identity: the query itself, which is what a restoration has to improve."""

from dataclasses import dataclass

from mvg.benchmark.protocol.method import Method, Request, Scope, TrainingData
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import Task

SCOPE: Scope = "untrained"
USES_PROMPTS = False


@dataclass(frozen=True)
class Options:
    """There is nothing to choose."""


def serves(task: Task) -> bool:
    """Tasks that predict a picture from one image."""
    return task.spec.target_type == "image"


def fit(options: Options, data: TrainingData) -> Method:
    """There is nothing to learn."""
    return unchanged


def unchanged(request: Request) -> Volume | LabelMap:
    """The query, voxel for voxel."""
    return request.query
