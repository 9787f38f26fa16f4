"""The one scheduler of all engines: one query in flight per worker, lost workers replaced, lost queries tried again."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Protocol, runtime_checkable

from mvg.prediction.batch import Job, Outcome

ATTEMPTS = 3
"""How often a query is given to a worker before it counts as failed."""


@runtime_checkable
class WorkerHandle(Protocol):
    """A worker, as the scheduler sees it."""

    def submit(self, job: Job) -> Future[Outcome]:
        """The outcome to come. A future that raises says that the worker is lost."""
        ...

    def stop(self) -> None:
        """End the worker, if it still runs."""
        ...


def schedule(jobs: Sequence[Job], start: Callable[[], WorkerHandle], count: int) -> Iterator[Outcome]:
    """The outcome of each job, as soon as it is there, once each.

    start: a new worker; count: how many work at the same time. A job whose worker was lost is given to another one;
    after `ATTEMPTS` it is an outcome with an error, so that one query cannot stop the others.
    """
    waiting = deque((job, 1) for job in jobs)
    idle: list[WorkerHandle] = []
    busy: dict[Future[Outcome], tuple[WorkerHandle, Job, int]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < count:
                worker, (job, attempt) = idle.pop() if idle else start(), waiting.popleft()
                busy[_submit(worker, job)] = (worker, job, attempt)
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                worker, job, attempt = busy.pop(future)
                if future.exception() is None:
                    idle.append(worker)
                    yield future.result()
                    continue
                worker.stop()
                if attempt < ATTEMPTS:
                    waiting.append((job, attempt + 1))
                else:
                    yield Outcome(job, (), _line(job))
    finally:
        for worker in (*idle, *(worker for worker, _, _ in busy.values())):
            worker.stop()


def _submit(worker: WorkerHandle, job: Job) -> Future[Outcome]:
    try:
        return worker.submit(job)
    except Exception as error:  # a worker that was lost while it was idle
        failed: Future[Outcome] = Future()
        failed.set_exception(error)
        return failed


def _line(job: Job) -> str:
    return (
        f"the worker was lost {ATTEMPTS} times while it predicted '{job.query}'; expected one that ends it; "
        f"look whether its memory suffices, or predict this query alone."
    )
