"""Which engine predicts a batch, and how a task reaches its workers: as a task file, which each of them loads once."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mvg._plugins import named
from mvg.errors import PromptError
from mvg.prediction import engines
from mvg.prediction.batch import Estimate, Job, Outcome
from mvg.prediction.engines._worker import WorkerSetup
from mvg.prediction.prompted_task import PromptedTask


@dataclass(frozen=True)
class EngineChoice:
    """name: a file in `engines/`; address: of its cluster, "" for none; workers: how many; device: of each of them."""

    name: str
    address: str
    workers: int
    device: str


def engine_choice(text: str, workers: int, device: str) -> EngineChoice | None:
    """The engine that a user named, "local" or "ray=ADDRESS"; None for one worker, which is this process itself.

    Raises UnknownNameError for an engine that is not there, PromptError for an address of one that has none.
    """
    name, _, address = text.partition("=")
    named(engines, name)
    if name == "local":
        if address:
            raise PromptError(f"--engine {text}", "local without an address, or ray=ADDRESS", "leave the address out")
        return EngineChoice(name, "", workers, device) if workers > 1 else None
    return EngineChoice(name, address, workers, device)


def predict_on(
    engine: EngineChoice, task: PromptedTask, jobs: Sequence[Job], output: Path, estimate: Estimate | None
) -> Iterator[Outcome]:
    """The outcomes of all jobs, as soon as each is there. The task lies in the output folder while workers need it."""
    if not jobs:
        return
    with tempfile.TemporaryDirectory(prefix=".task-", dir=output) as folder:
        file = Path(folder).resolve() / "task.mvgtask"
        task.save(file)
        setup = WorkerSetup(file, task.weights, engine.device, task.options, estimate)
        for outcome in named(engines, engine.name).run(jobs, setup, engine.workers, engine.address):
            for line in outcome.oddities:
                logging.getLogger("mvg").warning("%s", line)
            yield outcome
