"""Many studies predicted by the server."""

from collections.abc import Iterator, Mapping
from typing import Any

from mvg_client.connection import Connection


class Batch:
    """A batch of the server, which goes on without the client."""

    def __init__(self, connection: Connection, facts: Mapping[str, Any]) -> None:
        self._connection, self.id = connection, str(facts["id"])
        self._path = f"/batches/{self.id}"

    def facts(self) -> dict[str, Any]:
        """How far it is, as the server states it."""
        return dict(self._connection.json("GET", self._path))

    def progress(self) -> Iterator[dict[str, Any]]:
        """The state of the batch whenever it changes, to its end."""
        for name, data in self._connection.events("GET", f"{self._path}/events"):
            if name in ("progress", "end"):
                yield dict(data)

    def wait(self) -> dict[str, Any]:
        """The state of the batch in its end."""
        *_, last = self.progress()
        return last

    def cancel(self) -> dict[str, Any]:
        """Stop it; what is finished stays."""
        return dict(self._connection.json("POST", f"{self._path}/cancel"))

    def resume(self) -> dict[str, Any]:
        """Go on."""
        return dict(self._connection.json("POST", f"{self._path}/resume"))
