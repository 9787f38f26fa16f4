"""The batches of a run, in the order of its steps: made in this process, by workers, or ahead of time by threads."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

_Batch = TypeVar("_Batch", covariant=True)
_LAST = 2**62  # steps never end


def loader(steps: Dataset[_Batch], start: int, workers: int, read_ahead: int = 0) -> Iterator[_Batch]:
    """Batches from step `start` on, in order, made by this many worker processes (0: in this process).

    steps: step -> its batch. read_ahead: how many steps threads make at the same time, ahead of the one that is used,
    in each process that makes steps (0: none). Threads hide the latency of a store that is far away.
    """
    stream = _Stream(steps, start, read_ahead)
    if not workers:
        return iter(stream)
    batches = DataLoader(
        stream, batch_size=None, num_workers=workers, prefetch_factor=4, worker_init_fn=_use_one_thread
    )
    return iter(batches)


class _Stream(IterableDataset[_Batch]):
    """The steps of one process: all of them, or every `workers`-th one, since workers deliver in turn."""

    def __init__(self, steps: Dataset[_Batch], start: int, read_ahead: int) -> None:
        self.steps, self.start, self.read_ahead = steps, start, read_ahead

    def __iter__(self) -> Iterator[_Batch]:
        worker = get_worker_info()
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        numbers = range(self.start + first, _LAST, stride)
        return _ahead(self.steps, numbers, self.read_ahead) if self.read_ahead else map(self.steps.__getitem__, numbers)


def _ahead(steps: Dataset[_Batch], numbers: Sequence[int], count: int) -> Iterator[_Batch]:
    """The batches in order, of which up to `count` are being made while one is used."""
    pool, coming = ThreadPoolExecutor(count, thread_name_prefix="steps"), iter(numbers)
    try:
        waiting = deque(pool.submit(steps.__getitem__, next(coming)) for _ in range(count))
        while True:
            batch = waiting.popleft().result()
            waiting.append(pool.submit(steps.__getitem__, next(coming)))
            yield batch
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _use_one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
