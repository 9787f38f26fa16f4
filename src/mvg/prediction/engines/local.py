"""Workers as processes of this machine; one worker is this process itself."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from mvg.prediction.batch import Job, Outcome, run_jobs
from mvg.prediction.engines._scheduler import schedule
from mvg.prediction.engines._worker import Worker, WorkerSetup

_WORKER: list[Worker] = []  # of this process, where it is one


def run(jobs: Sequence[Job], setup: WorkerSetup, workers: int, address: str) -> Iterator[Outcome]:
    """The outcomes of all jobs, by this many processes. address: of a cluster, which this engine has none of."""
    assert not address, "processes of this machine have no address"
    return schedule(jobs, lambda: _Process(setup), min(workers, len(jobs)))


def run_here(jobs: Sequence[Job], predict: Callable[[Job], Outcome]) -> Iterator[Outcome]:
    """The outcomes of all jobs, by this process; an error is an outcome."""
    return schedule(jobs, lambda: _Here(predict), 1)


@dataclass
class _Here:
    """This process as a worker: it is done when a job is handed over."""

    predict: Callable[[Job], Outcome]

    def submit(self, job: Job) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        (outcome,) = run_jobs([job], self.predict)
        future.set_result(outcome)
        return future

    def stop(self) -> None:
        """Nothing: this process goes on."""


class _Process:
    """One process, which is started anew and shares nothing with this one."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.pool = ProcessPoolExecutor(1, get_context("spawn"), _start, (setup,))

    def submit(self, job: Job) -> Future[Outcome]:
        return self.pool.submit(_predict, job)

    def stop(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)


def _start(setup: WorkerSetup) -> None:
    _WORKER.append(Worker(setup))


def _predict(job: Job) -> Outcome:
    return _WORKER[0].predict(job)
