"""Does the jobs of a suite, one after the other or in several processes."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import torch

from mvg._atomic import atomic_file
from mvg.benchmark.downstream import downstream_segmentation
from mvg.benchmark.execution import Execution, Job, evaluate, trained
from mvg.errors import BenchmarkError

_WORKER = 0
"""The number of this process, by which it has a device of its own."""


def done_jobs(execution: Execution, jobs: Sequence[Job], processes: int) -> Iterator[str]:
    """The names of jobs as they are done, `processes` at a time; the first error ends the run.

    Raises BenchmarkError also if the system ends a worker.
    """
    if processes == 1 or len(jobs) < 2:
        for job in jobs:
            yield do_job(execution, job, 0)
        return
    spawn = get_context("spawn")
    numbers = spawn.Queue()
    for number in range(processes):
        numbers.put(number)
    with ProcessPoolExecutor(min(processes, len(jobs)), spawn, _start_worker, (processes, numbers)) as pool:
        try:
            futures = [pool.submit(_do_job_here, execution, job) for job in jobs]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise BenchmarkError(
                f"one of {processes} workers was ended from outside",
                "memory enough for so many jobs at a time",
                "lower --processes, and run the same command again to go on",
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def do_job(execution: Execution, job: Job, worker: int) -> str:
    """Train, or (after training) evaluate and write the result lines, whole or not at all."""
    if job.part == "train" or job.task is None:
        trained(execution, job, worker)
        return job.name
    path = execution.records_file(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = evaluate(execution, job, downstream_segmentation(execution, job, worker), worker)
    with atomic_file(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return job.name


def _start_worker(processes: int, numbers: Any) -> None:
    """Give a new worker its part of the threads and its number."""
    global _WORKER
    torch.set_num_threads(max(1, torch.get_num_threads() // processes))
    _WORKER = numbers.get()


def _do_job_here(execution: Execution, job: Job) -> str:
    return do_job(execution, job, _WORKER)
