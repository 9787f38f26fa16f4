"""A worker: it loads weights and task once, and predicts one query after the other on one thread."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

import mvg
from mvg.prediction.batch import Job, Outcome, predict_file, run_jobs
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import load_task


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker loads. task_file: with the prompts and their encodings."""

    task_file: Path
    weights: str
    device: str
    options: PredictionOptions


class Worker:
    """Predicts queries in a process of its own; the files are written by it, and only outcomes leave it."""

    def __init__(self, setup: WorkerSetup) -> None:
        torch.set_num_threads(1)
        logging.getLogger("mvg").addHandler(logging.NullHandler())  # what is noted is part of the outcome
        logging.getLogger("mvg").propagate = False
        self.setup = setup
        self.task = load_task(setup.task_file, setup.weights, setup.device).with_options(setup.options)

    def predict(self, job: Job) -> Outcome:
        """The outcome of a job; an error is an outcome too."""
        (outcome,) = run_jobs([job], lambda one: predict_file(self.task, one, None))
        return outcome


def versions() -> Mapping[str, str]:
    """What must be equal in the driver and its workers, for the same answers."""
    return {"mvg": mvg.__version__, "torch": torch.__version__}
