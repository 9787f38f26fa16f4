"""A server on made studies, with a model that learns in closed form, and what requests to it hold."""

import base64
import json
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.predictor import Predictor
from mvg.server.app import create_app
from mvg.server.settings import ServerSettings
from mvg.server.workbench import Workbench
from tests.prediction.learner import Learner
from tests.prediction.scans import scan

API = "/api/v1"
LABELS = [{"name": "box", "value": 3}, {"name": "small box", "value": 700}]


class Client:
    """Requests to a server; a reply with an error fails the test unless its status is expected."""

    def __init__(self, http: TestClient) -> None:
        self.http = http

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        """The JSON of a GET request."""
        return self._json(self.http.get(API + path, params=query), status)

    def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        """The JSON of a POST request."""
        return self._json(self.http.post(API + path, json={} if body is None else body), status)

    def content(self, path: str, **query: Any) -> bytes:
        """The bytes of a GET request."""
        reply = self.http.get(API + path, params=query)
        assert reply.status_code == 200, reply.text
        return reply.content

    def array(self, path: str, **query: Any) -> NDArray[Any]:
        """The voxels of a NIfTI file."""
        return voxels_of(self.content(path, **query))

    def events(self, path: str, body: Any = None) -> list[tuple[str, Any]]:
        """The server-sent events of a POST request, to their end."""
        reply = self.http.post(API + path, json={} if body is None else body)
        assert reply.status_code == 200, reply.text
        return events_of(reply.text)

    def studies(self, **query: Any) -> list[Any]:
        """The studies of the list, once the folder was looked through."""
        while self.get("/studies")["scanning"]:
            time.sleep(0.01)
        return list(self.get("/studies", **query)["studies"])

    def task(self, **facts: Any) -> Any:
        """A new segmentation of two labels."""
        return self.post("/tasks", {"name": "boxes", "labels": LABELS, **facts}, status=201)

    def session(self, task: Any, study: Any) -> Any:
        """An open session."""
        return self.post("/sessions", {"task": task["id"], "study": study["id"]})

    def correct(self, session: Any, axis: int, index: int, pixels: NDArray[np.uint8], **more: Any) -> Any:
        """Correct one slice."""
        part = {"axis": axis, "index": index, "zlib": packed(pixels)}
        return self.post(f"/sessions/{session['id']}/corrections", {"slices": [part], **more})

    @staticmethod
    def _json(reply: Any, status: int) -> Any:
        assert reply.status_code == status, (
            f"{reply.request.method} {reply.request.url}: {reply.status_code} {reply.text}"
        )
        return reply.json() if reply.content else None


@contextmanager
def serving(folder: Path, model: Learner | None = None, **settings: Any) -> Iterator[Client]:
    """A client of a server on a folder."""
    workbench = Workbench(ServerSettings(folder, **settings), Predictor(model or Learner(), "made"))
    with TestClient(create_app(workbench), base_url="http://127.0.0.1", raise_server_exceptions=False) as http:
        client = Client(http)
        client.workbench = workbench  # type: ignore[attr-defined]
        yield client


def make_studies(folder: Path, count: int = 2, shape: tuple[int, int, int] = (32, 32, 6)) -> list[LabelMap]:
    """Write scan0.nii.gz, scan1.nii.gz, ...; their true labels."""
    folder.mkdir(parents=True, exist_ok=True)
    truths = []
    for number in range(count):
        image, labels = scan(shape, seed=number)
        write(image, folder / f"scan{number}.nii.gz")
        truths.append(labels)
    return truths


def numbers_of(labels: LabelMap, values: tuple[int, ...] = (3, 700)) -> NDArray[np.uint8]:
    """Label values as class numbers."""
    numbers = np.zeros(labels.shape, np.uint8)
    for number, value in enumerate(values, 1):
        numbers[labels.voxels == value] = number
    return numbers


def ras(volume: LabelMap | Volume, array: NDArray[Any]) -> NDArray[Any]:
    """An array on the grid of a volume in RAS order, by nibabel."""
    image = nibabel.Nifti1Image(array, volume.affine, dtype=array.dtype)
    return np.asarray(nibabel.as_closest_canonical(image).dataobj)


def voxels_of(content: bytes) -> NDArray[Any]:
    """The voxels in the bytes of a NIfTI file."""
    return np.asarray(nibabel.Nifti1Image.from_bytes(content).dataobj)


def packed(pixels: NDArray[Any]) -> str:
    """A slice as the interface takes it."""
    return base64.b64encode(zlib.compress(np.asarray(pixels, np.uint8).tobytes(order="F"))).decode()


def unpacked(text: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A slice of the interface."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(shape, order="F")


def events_of(text: str) -> list[tuple[str, Any]]:
    """Names and data of server-sent events."""
    events = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "event" in lines:
            events.append((lines["event"], json.loads(lines["data"])))
    return events
