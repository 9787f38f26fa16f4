"""Ours, isolated: one model per task and set, learnt from nothing else (Table 5b)."""

from mvg.benchmark.baselines import mvg
from mvg.benchmark.method import Lesson, Scope
from mvg.tasks import Task

SCOPE: Scope = "specialist"
PROMPTED = True
Settings = mvg.Settings
check = mvg.check


def serves(task: Task) -> bool:
    """Every task."""
    return True


def learn(settings: mvg.Settings, lesson: Lesson) -> mvg.Asked:
    """As `mvg` learns, from the lesson's one task."""
    return mvg.learn(settings, lesson)
