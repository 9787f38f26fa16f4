"""Requests, errors and server-sent events."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from mvg_client.errors import ServerError

API = "/api/v1"


class Connection:
    """Requests to a server; a refusal raises ServerError."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def json(self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None) -> Any:
        """The JSON of a reply; None for an empty one."""
        reply = self._request(method, path, json=body, params=query)
        return reply.json() if reply.content else None

    def content(self, path: str, query: dict[str, Any] | None = None) -> bytes:
        """The bytes of a reply."""
        return self._request("GET", path, params=query).content

    def upload(self, path: str, files: Any) -> Any:
        """The JSON of a reply to files."""
        return self._request("POST", path, files=files).json()

    def events(self, method: str, path: str, body: Any = None) -> Iterator[tuple[str, Any]]:
        """Names and data of server-sent events, as they come; leaving the iteration ends the request."""
        with self._unreachable(), self.http.stream(method, API + path, json=body, timeout=None) as reply:
            if reply.is_error:
                reply.read()
                raise _error_of(reply)
            name = ""
            for line in reply.iter_lines():
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    data = json.loads(line[6:])
                    if name == "error":
                        raise ServerError(reply.status_code, data["error"])
                    yield name, data

    def _request(self, method: str, path: str, **parts: Any) -> httpx.Response:
        with self._unreachable():
            reply = self.http.request(method, API + path, **parts)
        if reply.is_error:
            raise _error_of(reply)
        return reply

    @contextmanager
    def _unreachable(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            message = f"{self.http.base_url} cannot be reached ({error}); expected a running `mvg serve`; start it."
            raise ServerError(0, message) from error


def _error_of(reply: httpx.Response) -> ServerError:
    try:
        message = str(reply.json()["error"])
    except (ValueError, KeyError, TypeError):
        message = f"a reply with the status {reply.status_code}; expected an mvg server; check the address."
    return ServerError(reply.status_code, message)
