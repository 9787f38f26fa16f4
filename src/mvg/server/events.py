"""Server-sent events: what happens in worker threads reaches every page that listens."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

_KEEP_ALIVE = 15.0  # seconds without an event after which a comment is sent
_MOST_QUEUED = 10_000  # events that a slow reader may be behind

Event = tuple[str, Any]
"""A name, and data for JSON; the name "" ends the stream."""
Send = Callable[[str, Any], None]


class Stream:
    """Events from any thread to one reader in the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def send(self, name: str, data: Any) -> None:
        """Add an event; from any thread."""
        with suppress(RuntimeError):  # the loop was closed: nobody reads
            self._loop.call_soon_threadsafe(self._put, (name, data))

    def close(self) -> None:
        """End the stream after the events that were sent."""
        self.send("", None)

    async def read(self) -> AsyncIterator[bytes]:
        """The events as text for a response of the type text/event-stream."""
        while True:
            try:
                name, data = await asyncio.wait_for(self._events.get(), _KEEP_ALIVE)
            except TimeoutError:
                yield b": waiting\n\n"
                continue
            if not name:
                return
            yield f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()

    def _put(self, event: Event) -> None:
        if self._events.qsize() < _MOST_QUEUED or not event[0]:
            self._events.put_nowait(event)


class Channel:
    """Sends events to everyone who listens. Safe for several threads."""

    def __init__(self) -> None:
        self._listeners: list[Send] = []
        self._streams: list[Stream] = []
        self._lock = Lock()

    def send(self, name: str, data: Any) -> None:
        """Send an event to everyone."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(name, data)

    @contextmanager
    def calling(self, listener: Send) -> Iterator[None]:
        """The listener is called with every event in this context, in the thread where it happens."""
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)

    @contextmanager
    def open_until_close(self, stream: Stream) -> Iterator[None]:
        """The stream ends in this context when the channel is closed."""
        with self._lock:
            self._streams.append(stream)
        try:
            yield
        finally:
            with self._lock:
                self._streams.remove(stream)

    def close(self) -> None:
        """End all streams."""
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.close()
