"""A memory for computed values with a budget in bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
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
