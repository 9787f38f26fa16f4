"""Our model, adapted: weights tuned on few cases of the evaluated set, by default on a single one (Table 4)."""

from dataclasses import dataclass
from typing import Literal

from mvg.benchmark.protocol.method import Scope, TrainingData, file_name
from mvg.benchmark.rivals import mvg
from mvg.errors import BenchmarkError
from mvg.model.weights import save_weights
from mvg.tasks import Task
from mvg.training.checkpoint import averaged

SCOPE: Scope = "specialist"
USES_PROMPTS = True


@dataclass(frozen=True)
class Options:
    """weights: an id or folder to start from; after: instead, the label of an `mvg` in the same suite, trained first.

    max_patients: of the set, that are learned from. budget_fraction: of the suite's budget. rate: the peak learning
    rate, lower than in training from scratch. zoom: see `PredictionOptions`.
    """

    weights: str = "tiny"
    after: str = ""
    max_patients: int = 1
    budget_fraction: float = 1.0
    rate: float = 2e-4
    zoom: Literal["auto", "off"] = "off"


def serves(task: Task) -> bool:
    """Every task."""
    return True


def fit(options: Options, data: TrainingData) -> mvg.PromptedMethod:
    """Tune all weights on episodes whose pairs may come from one patient, each with random changes of its own.

    Raises BenchmarkError if `after` names no method that was trained with this seed.
    """
    changes = {
        "start": _trained_before(options.after, data) if options.after else options.weights,
        "episodes": {
            "max_patients": options.max_patients,
            "prompt_patients": "any",
            "batch": 1,
            "panels": [2, 3],
            "empty_query_fraction": 0.2,
        },
        "optimizer": {"learning_rate": options.rate, "ema_decay": 0.99},
    }
    return mvg.fit(mvg.Options(changes=changes, budget_fraction=options.budget_fraction, zoom=options.zoom), data)


def _trained_before(label: str, data: TrainingData) -> str:
    """The averaged weights of another method of the suite, as a folder of weights."""
    checkpoint = data.folder.parents[3] / file_name(label) / f"seed{data.seed}" / "checkpoint.pt"
    if not checkpoint.is_file():
        raise BenchmarkError(
            f"no checkpoint of '{label}' ({checkpoint})",
            "the label of an mvg that is trained in this suite",
            "correct `after`",
        )
    weights = data.folder / "start"
    if not (weights / "config.json").exists():
        save_weights(averaged(checkpoint)[0], weights, "# Start\n\nTrained in a benchmark.\n")
    return str(weights)
