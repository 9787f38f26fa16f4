"""Which engine predicts a batch, and how a task reaches its workers: as a task file, which each of them loads once."""

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mvg._plugins import named
from mvg.errors import PromptError
from mvg.prediction import engines
from mvg.prediction.batch import Job, Outcome, predict_file
from mvg.prediction.engines._worker import WorkerSetup
from mvg.prediction.engines.local import run_here
from mvg.prediction.prompted_task import PromptedTask


@dataclass(frozen=True)
class EngineChoice:
    """name: a file in `engines/`; address: of its cluster, "" for none; workers: how many; device: of each of them."""

    name: str = "local"
    address: str = ""
    workers: int = 1
    device: str = "auto"

    @property
    def is_this_process(self) -> bool:
        """Whether the one worker is this process itself, which has the task already."""
        return self.name == "local" and self.workers == 1


LOCAL = EngineChoice()
"""This process, the default."""


def engine_choice(text: str, workers: int, device: str) -> EngineChoice:
    """The engine that a user named, "local" or "ray=ADDRESS".

    Raises UnknownNameError for an engine that is not there, PromptError for an address of one that has none.
    """
    name, _, address = text.partition("=")
    named(engines, name)
    if name == "local" and address:
        raise PromptError(f"--engine {text}", "local without an address, or ray=ADDRESS", "leave the address out")
    return EngineChoice(name, address, workers, device)


def predict_on(
    engine: EngineChoice,
    task: PromptedTask,
    jobs: Sequence[Job],
    output: Path,
    progress: Callable[[Job, int, int], None] | None = None,
) -> Iterator[Outcome]:
    """The outcomes of all jobs, as soon as each is there. The task lies in the output folder while workers need it.

    progress(job, slices done, slices) is called where this process is the worker.
    """
    if not jobs:
        return
    if engine.is_this_process:
        yield from run_here(jobs, lambda job: predict_file(task, job, progress))
        return
    with tempfile.TemporaryDirectory(prefix=".task-", dir=output) as folder:
        file = Path(folder).resolve() / "task.mvgtask"
        task.save(file)
        setup = WorkerSetup(file, task.weights, engine.device, task.options)
        for outcome in named(engines, engine.name).run(jobs, setup, engine.workers, engine.address):
            for line in outcome.oddities:
                logging.getLogger("mvg").warning("%s", line)
            yield outcome
