"""Memories for computed values with a budget in bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Recent(Generic[_Key, _Value]):
    """Keeps the most recently used values within `budget` bytes, at least the last one."""

    def __init__(self, budget: int, size: Callable[[_Value], int]) -> None:
        """`size(value)`: its bytes."""
        self.budget, self._size = budget, size
        self.entries: OrderedDict[_Key, _Value] = OrderedDict()
        self._bytes = 0

    def __contains__(self, key: _Key) -> bool:
        return key in self.entries

    def get(self, key: _Key) -> _Value:
        """The value of a key, which becomes the most recently used one."""
        self.entries.move_to_end(key)
        return self.entries[key]

    def put(self, key: _Key, value: _Value) -> None:
        """Keep a value; drop the least recently used ones beyond the budget."""
        if key in self.entries:
            self._bytes -= self._size(self.entries.pop(key))
        self.entries[key] = value
        self._bytes += self._size(value)
        while self._bytes > self.budget and len(self.entries) > 1:
            self._bytes -= self._size(self.entries.popitem(last=False)[1])


class Shared(Generic[_Key, _Value]):
    """A memory that several threads fill: what one of them computes, the others wait for.

    A computation may ask another `Shared` for values, but never, not even through others, the same one.
    """

    def __init__(self, budget: int, size: Callable[[_Value], int]) -> None:
        """See `Recent`."""
        self._kept, self._size, self._lock = Recent[_Key, _Value](budget, size), size, Lock()
        self._begun: dict[_Key, Future[_Value]] = {}

    @property
    def budget(self) -> int:
        """Bytes."""
        return self._kept.budget

    def __contains__(self, key: _Key) -> bool:
        with self._lock:
            return key in self._kept

    def items(self) -> list[tuple[_Key, _Value]]:
        """All values that are kept, the least recently used first."""
        with self._lock:
            return list(self._kept.entries.items())

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._kept = Recent(self._kept.budget, self._size)

    def put(self, key: _Key, value: _Value) -> None:
        """Keep a value that was computed elsewhere."""
        with self._lock:
            self._kept.put(key, value)

    def get(
        self, keys: Sequence[_Key], compute: Callable[[list[_Key]], Sequence[_Value]], together: int = 1
    ) -> list[_Value]:
        """The value of every key; `compute(keys)` makes those that are neither kept nor begun, `together` at a time."""
        known: dict[_Key, _Value] = {}
        begun: dict[_Key, Future[_Value]] = {}
        while claimed := self._claim(keys, known, begun, together):
            self._compute(claimed, compute, known)
        return [known[key] if key in known else begun[key].result() for key in keys]

    def _claim(
        self, keys: Sequence[_Key], known: dict[_Key, _Value], begun: dict[_Key, Future[_Value]], count: int
    ) -> dict[_Key, Future[_Value]]:
        """Up to `count` keys that this thread is to compute; the others are sorted into `known` and `begun`."""
        claimed: dict[_Key, Future[_Value]] = {}
        with self._lock:
            for key in keys:
                if key in known or key in begun or key in claimed:
                    continue
                if key in self._kept:
                    known[key] = self._kept.get(key)
                elif key in self._begun:
                    begun[key] = self._begun[key]
                elif len(claimed) < count:
                    claimed[key] = self._begun[key] = Future()
        return claimed

    def _compute(
        self,
        claimed: dict[_Key, Future[_Value]],
        compute: Callable[[list[_Key]], Sequence[_Value]],
        known: dict[_Key, _Value],
    ) -> None:
        try:
            values = dict(zip(claimed, compute(list(claimed)), strict=True))
        except BaseException as error:
            with self._lock:
                for key in claimed:
                    del self._begun[key]
            for future in claimed.values():
                future.set_exception(error)
            raise
        with self._lock:
            for key, value in values.items():
                self._kept.put(key, value)
                del self._begun[key]
        for key, future in claimed.items():
            future.set_result(values[key])
        known |= values
