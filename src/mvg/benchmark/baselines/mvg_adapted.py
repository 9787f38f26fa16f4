"""Ours, adapted: weights tuned on few cases of the asked set, by default on a single one (Table 4)."""

from dataclasses import dataclass

from mvg.benchmark.baselines import mvg
from mvg.benchmark.method import Lesson, Scope
from mvg.tasks import Task

SCOPE: Scope = "specialist"
PROMPTED = True


@dataclass(frozen=True)
class Settings:
    """weights: an id or folder to start from; patients: how many of the set are learnt from; rate: the peak learning
    rate, lower than in training from nothing."""

    weights: str = "tiny"
    patients: int = 1
    rate: float = 2e-4


def serves(task: Task) -> bool:
    """Every task."""
    return True


def learn(settings: Settings, lesson: Lesson) -> mvg.Asked:
    """Tune all weights on requests whose pairs may come from one patient, each changed at random by itself."""
    changes = {
        "start": settings.weights,
        "precision": "32-true",
        "episodes": {"most": settings.patients, "prompts": "any", "batch": 1, "panels": [2, 3], "absent": 0.2},
        "optimizer": {"rate": settings.rate, "ema": 0.99},
    }
    return mvg.learn(mvg.Settings(changes=changes), lesson)
