"""Several cores share the slices of a query; each operation runs on one thread.

Threads inside of operations do not pay here: operations are small, and each would wait for its threads, on a busy
machine many times longer than it computes. PyTorch and NumPy release the interpreter's lock while they compute.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import RLock
from typing import TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_AHEAD = 2  # items per worker that are begun before the results of earlier ones are taken


class _Threads:
    """The number of threads that PyTorch had before the first of nested or concurrent predictions."""

    def __init__(self) -> None:
        self._lock, self._depth, self.count = RLock(), 0, 1

    def enter(self) -> None:
        with self._lock:
            if self._depth == 0:
                self.count = torch.get_num_threads()
                torch.set_num_threads(1)
            self._depth += 1

    def leave(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                torch.set_num_threads(self.count)


_THREADS = _Threads()


@contextmanager
def one_thread_per_operation() -> Iterator[int]:
    """PyTorch's operations run on one thread in this context; yields how many threads there are for slices instead.

    That is the number that PyTorch would use: all cores, or what OMP_NUM_THREADS or torch.set_num_threads say.
    """
    _THREADS.enter()
    try:
        yield _THREADS.count
    finally:
        _THREADS.leave()


def in_parallel(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
    """`function` of every item, in order, computed by as many threads as `one_thread_per_operation` yields.

    Results do not depend on the number of threads if the function's do not depend on the order of calls. An error of
    a call is raised where its result would be taken; later items are not begun.
    """
    with one_thread_per_operation() as workers:
        if workers == 1 or len(items) < 2:
            yield from map(function, items)
            return
        pool, waiting = ThreadPoolExecutor(min(workers, len(items)), "mvg"), deque[Future[_Result]]()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > _AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
