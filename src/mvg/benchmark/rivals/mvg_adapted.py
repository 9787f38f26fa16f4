"""Ours, adapted: weights tuned on few cases of the asked set, by default on a single one (Table 4)."""

from dataclasses import dataclass

from mvg.benchmark.protocol.method import Scope, TrainingData, plain
from mvg.benchmark.rivals import mvg
from mvg.errors import BenchmarkError
from mvg.model.weights import save_weights
from mvg.tasks import Task
from mvg.training.checkpoint import averaged

SCOPE: Scope = "specialist"
PROMPTED = True


@dataclass(frozen=True)
class Settings:
    """weights: an id or folder to start from; after: or the label of an `mvg` in the same suite, which goes first.

    patients: how many of the set are learnt from; share: of the budget that is spent; rate: the peak learning rate,
    lower than in training from nothing; zoom: see `PredictionOptions`.
    """

    weights: str = "tiny"
    after: str = ""
    patients: int = 1
    share: float = 1.0
    rate: float = 2e-4
    zoom: str = "off"


def serves(task: Task) -> bool:
    """Every task."""
    return True


def learn(settings: Settings, lesson: TrainingData) -> mvg.PromptedMethod:
    """Tune all weights on requests whose pairs may come from one patient, each changed at random by itself.

    Raises BenchmarkError where `after` names no method that has learnt with this seed.
    """
    changes = {
        "start": _learnt_before(settings.after, lesson) if settings.after else settings.weights,
        "episodes": {
            "max_patients": settings.patients,
            "prompt_patients": "any",
            "batch": 1,
            "panels": [2, 3],
            "empty_query_fraction": 0.2,
        },
        "optimizer": {"learning_rate": settings.rate, "ema_decay": 0.99},
    }
    return mvg.learn(mvg.Settings(changes=changes, share=settings.share, zoom=settings.zoom), lesson)


def _learnt_before(label: str, lesson: TrainingData) -> str:
    """The averaged weights of another method of the suite, in a folder of this lesson."""
    checkpoint = lesson.folder.parents[3] / plain(label) / f"seed{lesson.seed}" / "checkpoint.pt"
    if not checkpoint.is_file():
        raise BenchmarkError(
            f"no checkpoint of '{label}' ({checkpoint})",
            "the label of an mvg that learns in this suite",
            "correct `after`",
        )
    weights = lesson.folder / "start"
    if not (weights / "config.json").exists():
        save_weights(averaged(checkpoint)[0], weights, "# Start\n\nLearnt in a benchmark.\n")
    return str(weights)
