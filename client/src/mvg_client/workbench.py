"""A running `mvg serve`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from mvg_client.arrays import volume
from mvg_client.batch import Batch
from mvg_client.connection import Connection
from mvg_client.session import Session

_PAGE = 200
Facts = Mapping[str, Any]
"""A study or a task as the server states it."""


class Workbench:
    """Studies, tasks, sessions and batches of a server. Every method raises ServerError."""

    def __init__(self, address: str, token: str | None = None, http: httpx.Client | None = None) -> None:
        """address: as `mvg serve` prints it; token: that the server asks for; http: a client to use instead."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = http or httpx.Client(base_url=address.rstrip("/"), headers=headers, timeout=300)
        self._connection = Connection(self._http)

    def __enter__(self) -> "Workbench":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def info(self) -> dict[str, Any]:
        """What the server offers; a test of the connection."""
        return dict(self._connection.json("GET", "/info"))

    def studies(self, task: Facts | None = None, **query: str) -> Iterator[dict[str, Any]]:
        """All studies, page by page; query: `state`, `search`, `sort`, `order`."""
        known: dict[str, Any] = dict(query) if task is None else {"task": task["id"], **query}
        offset = 0
        while True:
            page = self._connection.json("GET", "/studies", query={**known, "offset": offset, "limit": _PAGE})
            yield from page["studies"]
            offset += _PAGE
            if offset >= page["total"]:
                return

    def upload(self, *paths: str | Path) -> list[dict[str, Any]]:
        """Add studies from files; those of one DICOM series become one."""
        files = [("files", (Path(path).name, Path(path).read_bytes())) for path in paths]
        return list(self._connection.upload("/studies", files)["studies"])

    def remove(self, study: Facts) -> None:
        """Move an uploaded study, with its corrections and labels, to the trash of the server's folder."""
        self._connection.json("DELETE", f"/studies/{study['id']}")

    def image(self, study: Facts) -> NDArray[Any]:
        """The voxels of a study (x, y, z), or (x, y, z, 3) of colors, in RAS order."""
        return volume(self._connection.content(f"/studies/{study['id']}/volume.nii"))

    def tasks(self) -> list[dict[str, Any]]:
        """All tasks, the oldest first."""
        return list(self._connection.json("GET", "/tasks")["tasks"])

    def create_task(self, name: str, labels: Sequence[str | Facts] = (), kind: str = "segmentation") -> dict[str, Any]:
        """A new task; labels: names, or with values and colors {"name", "value", "color"}."""
        entries = [{"name": label} if isinstance(label, str) else dict(label) for label in labels]
        return dict(self._connection.json("POST", "/tasks", {"name": name, "kind": kind, "labels": entries}))

    def add_example(self, task: Facts, study: Facts, target: Facts | None = None) -> dict[str, Any]:
        """Make a study with labels beside it an example; target: the study of the target, for tasks with pictures."""
        body = {"study": study["id"], **({} if target is None else {"target": target["id"]})}
        return dict(self._connection.json("POST", f"/tasks/{task['id']}/examples", body))

    def save_task(self, task: Facts, path: str | Path) -> Path:
        """Write a task as a `.mvgtask` file."""
        Path(path).write_bytes(self._connection.content(f"/tasks/{task['id']}/export/task.mvgtask"))
        return Path(path)

    def open(self, task: Facts, study: Facts) -> Session:
        """Open a study for a task; opening it again is harmless."""
        body = {"task": task["id"], "study": study["id"]}
        return Session(self._connection, self._connection.json("POST", "/sessions", body))

    def predict_all(self, task: Facts, studies: Sequence[Facts] | None = None) -> Batch:
        """Predict these studies, None for all without a prediction; corrected ones are never touched."""
        chosen = "new" if studies is None else [study["id"] for study in studies]
        return Batch(
            self._connection, self._connection.json("POST", "/batches", {"task": task["id"], "studies": chosen})
        )

    def batches(self, task: Facts) -> list[Batch]:
        """The batches of a task, the newest first, to follow or resume them."""
        listed = self._connection.json("GET", "/batches", query={"task": task["id"]})["batches"]
        return [Batch(self._connection, facts) for facts in listed]

    def labels_of(self, task: Facts, study: Facts) -> NDArray[np.uint8]:
        """Class numbers (x, y, z) of a study: corrections over the newest prediction."""
        return self.open(task, study).labels()
