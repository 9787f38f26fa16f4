"""Identity: the query itself, what one has without any restoration."""

from dataclasses import dataclass

from mvg.benchmark.protocol.method import Method, Request, Scope, TrainingData
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import Task

SCOPE: Scope = "untrained"
PROMPTED = False


@dataclass(frozen=True)
class Settings:
    """Nothing to choose."""


def serves(task: Task) -> bool:
    """Tasks whose answers are pictures."""
    return task.spec.target_type == "image"


def learn(settings: Settings, lesson: TrainingData) -> Method:
    """Nothing is learnt."""
    return unchanged


def unchanged(request: Request) -> Volume | LabelMap:
    """The query, voxel for voxel."""
    return request.query
