"""A server in a process of its own, which may be killed at any moment."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from mvg.model.weights import save_weights
from tests.prediction.learner import random_model


@dataclass
class Served:
    """A running server: its process, its address and a client of it."""

    process: subprocess.Popen[bytes]
    address: str
    http: httpx.Client

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.process.kill()
        self.process.wait(20)
        self.http.close()


def start(folder: Path, weights: Path, *options: str) -> Served:
    """Run `mvg serve FOLDER` and wait until it answers."""
    port = _free_port()
    command = [sys.executable, "-m", "mvg.app.cli", "serve", str(folder), "--port", str(port), "--no-browser"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--weights", str(weights), *options], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    http = httpx.Client(base_url=address, timeout=60)
    for _ in range(600):
        if process.poll() is not None:
            raise AssertionError((process.stderr.read() if process.stderr else b"").decode())
        try:
            http.get("/api/v1/info")
            return Served(process, address, http)
        except httpx.TransportError:
            time.sleep(0.05)
    process.kill()
    raise AssertionError("the server did not answer")


@contextmanager
def served(folder: Path, weights: Path, *options: str) -> Iterator[Served]:
    """A server that is ended with the context."""
    server = start(folder, weights, *options)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(20)
        server.http.close()


def toy_weights(folder: Path) -> Path:
    """A folder with tiny random weights."""
    return save_weights(random_model(), folder / "toy", "# toy\n").folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
