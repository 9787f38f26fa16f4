"""Fair turns on one device: whoever has waited longest comes next, and long work lets others in between its parts."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class DeviceQueue:
    """One user of the device at a time, in the order in which they came.

    Work that takes several turns queues again after each, behind those who wait: so sessions and batches that work at
    the same time get turns of equal number.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._waiting: deque[object] = deque()
        self._busy = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the device and hold it in this context."""
        self._take()
        try:
            yield
        finally:
            self._free()

    def let_others(self) -> None:
        """Within a turn: hand the device to whoever waits, and wait for the next turn; at once where nobody waits."""
        with self._changed:
            if not self._waiting:
                return
        self._free()
        self._take()

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return len(self._waiting)

    def _take(self) -> None:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: not self._busy and self._waiting[0] is ticket)
            self._waiting.popleft()
            self._busy = True

    def _free(self) -> None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
