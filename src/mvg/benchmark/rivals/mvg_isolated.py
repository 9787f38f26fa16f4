"""Ours, isolated: one model per task and set, learnt from nothing else (Table 5b)."""

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals import mvg
from mvg.tasks import Task

SCOPE: Scope = "specialist"
PROMPTED = True
Settings = mvg.Settings
check = mvg.check


def serves(task: Task) -> bool:
    """Every task."""
    return True


def learn(settings: mvg.Settings, lesson: TrainingData) -> mvg.PromptedMethod:
    """As `mvg` learns, from the lesson's one task."""
    return mvg.learn(settings, lesson)
