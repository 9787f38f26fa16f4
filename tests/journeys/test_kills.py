"""`mvg serve` killed at random moments of painting and of a batch: no accepted stroke and no answer is lost."""

import base64
import random
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from mvg.imaging.files import read_labels
from tests.server.clients import make_studies, voxels_of
from tests.server.processes import Served, start, toy_weights

API = "/api/v1"
KILLS = 3
SHAPE = (32, 32, 6)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_weights(tmp_path_factory.mktemp("weights"))


def listed(server: Served, **query: Any) -> list[Any]:
    """The studies, once the folder was looked through."""
    while (page := server.http.get(f"{API}/studies", params=query).json())["scanning"]:
        time.sleep(0.01)
    return list(page["studies"])


def new_session(server: Served) -> str:
    """A session of the first study without labels beside it."""
    body = {"name": "boxes", "labels": [{"name": "box", "value": 3}, {"name": "small box", "value": 700}]}
    task = server.http.post(f"{API}/tasks", json=body).json()["id"]
    study = listed(server)[0]["id"]
    return str(server.http.post(f"{API}/sessions", json={"task": task, "study": study}).json()["id"])


def painted(number: int) -> tuple[int, np.ndarray]:
    """The slice and the pixels of a stroke."""
    pixels = np.random.default_rng(number).choice(np.array([0, 1, 2, 255], np.uint8), SHAPE[:2])
    return number % SHAPE[2], pixels


class Painter:
    """Paints strokes one after the other until the server is gone; knows which it accepted."""

    def __init__(self, server: Served, session: str, first: int) -> None:
        self.accepted = self.sent = first
        self._url, self._session = server.address, session
        self.thread = threading.Thread(target=self._paint)

    def _paint(self) -> None:
        with httpx.Client(base_url=self._url, timeout=20) as http:
            try:
                while True:
                    index, pixels = painted(self.accepted)
                    text = base64.b64encode(zlib.compress(pixels.tobytes(order="F"))).decode()
                    part = {"axis": 2, "index": index, "zlib": text}
                    body = {"stroke": f"s{self.accepted}", "slices": [part]}
                    self.sent = self.accepted + 1
                    reply = http.post(f"{API}/sessions/{self._session}/corrections", json=body)
                    assert reply.status_code == 200, reply.text
                    self.accepted += 1
            except httpx.TransportError:
                return


def test_no_accepted_stroke_is_lost(tmp_path: Path, weights: Path) -> None:
    make_studies(tmp_path / "s", 1)
    rng, session, accepted, sent = random.Random(7), "", 0, 0
    for _ in range(KILLS + 1):
        server = start(tmp_path / "s", weights)
        session = session or new_session(server)
        strokes = server.http.get(f"{API}/sessions/{session}").json()["undo"]
        assert accepted <= strokes <= sent, "what was accepted, and at most the one that was on its way"
        content = server.http.get(f"{API}/sessions/{session}/corrections.nii").content
        assert np.array_equal(voxels_of(content), after(strokes))
        painter = Painter(server, session, strokes)
        painter.thread.start()
        while painter.accepted == strokes:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.3))
        server.kill()
        painter.thread.join(30)
        accepted, sent = painter.accepted, painter.sent
    assert accepted > KILLS


def after(strokes: int) -> np.ndarray:
    """The corrections of a study after so many strokes."""
    expected = np.full(SHAPE, 255, np.uint8)
    for number in range(strokes):
        index, pixels = painted(number)
        expected[:, :, index] = np.where(pixels == 255, expected[:, :, index], pixels)
    return expected


def test_no_finished_answer_of_a_batch_is_lost(tmp_path: Path, weights: Path) -> None:
    make_studies(tmp_path / "s", 7)
    rng, task, batch, finished = random.Random(3), "", "", dict[str, int]()
    for _ in range(KILLS):
        server = start(tmp_path / "s", weights)
        if not batch:
            session = new_session(server)
            task = session.split(".")[0]
            pixels = base64.b64encode(zlib.compress(bytes([1] * 1024))).decode()
            slices = [{"axis": 2, "index": index, "zlib": pixels} for index in range(SHAPE[2])]
            server.http.post(f"{API}/sessions/{session}/corrections", json={"slices": slices})
            server.http.post(f"{API}/sessions/{session}/finish", json={"example": True})
            batch = server.http.post(f"{API}/batches", json={"task": task}).json()["id"]
        else:
            assert server.http.get(f"{API}/batches/{batch}").json()["state"] in ("interrupted", "finished")
            server.http.post(f"{API}/batches/{batch}/resume")
        time.sleep(rng.uniform(0.05, 0.8))
        answered = [row["id"] for row in listed(server, task=task, state="answered")]
        server.kill()
        folder = tmp_path / "s" / "mvg" / "tasks" / task / "sessions"
        for study in answered:
            path = folder / study / "prediction.nii.gz"
            assert read_labels(path).shape == SHAPE
            assert finished.setdefault(study, path.stat().st_mtime_ns) == path.stat().st_mtime_ns, "predicted once"
        assert set(finished) <= set(answered)
    server = start(tmp_path / "s", weights)
    server.http.post(f"{API}/batches/{batch}/resume")
    for _ in range(600):
        state = server.http.get(f"{API}/batches/{batch}").json()
        if state["state"] == "finished":
            break
        time.sleep(0.05)
    server.kill()
    assert (state["state"], state["done"], state["failed"]) == ("finished", 6, [])
