"""Workers as actors of a Ray cluster, which all see the files at the same paths."""

import logging
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from mvg.errors import ProcessError, first_line
from mvg.prediction.batch import Job, Outcome
from mvg.prediction.engines._scheduler import schedule
from mvg.prediction.engines._worker import Worker, WorkerSetup, versions

_SECONDS = 10.0  # for a cluster to take a connection
_STORE_BYTES = 100 * 2**20  # outcomes are small; no volume passes through Ray's object store


def run(jobs: Sequence[Job], setup: WorkerSetup, workers: int, address: str) -> Iterator[Outcome]:
    """The outcomes of all jobs, by this many actors of one core each.

    address: of a running cluster, "" for one of this machine that ends with the batch. Raises ProcessError without
    Ray, without a cluster at the address, and where its workers have other versions of mvg or torch.
    """
    ray = _connected(address, workers)
    try:
        actor = ray.remote(num_cpus=1, max_restarts=0)(Worker)
        count = min(workers, len(jobs))
        _check_versions(ray, count)
        yield from schedule(jobs, lambda: _Actor(ray, actor.remote(setup)), count)
    finally:
        ray.shutdown()


class _Actor:
    """One actor."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self.ray, self.actor = ray, actor

    def submit(self, job: Job) -> Future[Outcome]:
        future: Future[Outcome] = self.actor.predict.remote(job).future()
        return future

    def stop(self) -> None:
        self.ray.kill(self.actor)


def _connected(address: str, workers: int) -> Any:
    try:
        import ray
    except ImportError as error:
        raise ProcessError("no package 'ray'", "it, for --engine ray", "run pip install 'mvg[cluster]'") from error
    try:
        if address:
            _check_listening(address)  # Ray itself tries for minutes
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            ray.init(
                num_cpus=workers, object_store_memory=_STORE_BYTES, include_dashboard=False,
                log_to_driver=False, logging_level=logging.ERROR,
            )  # fmt: skip
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ProcessError(
            f"no Ray cluster answers at '{address or 'this machine'}' ({first_line(error)})",
            "the address of a running cluster",
            "start one by 'ray start --head', or leave the address out",
        ) from error
    return ray


def _check_listening(address: str) -> None:
    """Raises OSError where nothing listens at HOST:PORT or ray://HOST:PORT; other addresses are Ray's to judge."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), _SECONDS).close()


def _check_versions(ray: Any, workers: int) -> None:
    """Asks as many processes as there will be workers; they import the package meanwhile, all at once."""
    here, task = versions(), ray.remote(num_cpus=1)(versions)
    for there in ray.get([task.remote() for _ in range(workers)]):
        if here == there:
            continue
        differing = ", ".join(f"{name} {there.get(name)} there and {here[name]} here" for name in here)
        raise ProcessError(
            f"the workers of the cluster have other versions ({differing})",
            "the same versions, which give the same answers",
            "install the same on all machines",
        )
