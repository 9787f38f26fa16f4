"""Our model, isolated: one model per task and set, trained on nothing else (Table 5b)."""

from mvg.benchmark.protocol.method import Scope, TrainingData
from mvg.benchmark.rivals import mvg
from mvg.tasks import Task

SCOPE: Scope = "specialist"
USES_PROMPTS = True
Options = mvg.Options
check = mvg.check
inputs = mvg.inputs


def serves(task: Task) -> bool:
    """Every task."""
    return mvg.serves(task)


def fit(options: mvg.Options, data: TrainingData) -> mvg.PromptedMethod:
    """As `mvg`, on one task of one set."""
    return mvg.fit(options, data)
