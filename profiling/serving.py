"""A running `mvg serve` whose processor time and memory are measured."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

API = "/api/v1"
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True)
class Served:
    """A running server: its process, a client of it, and its address."""

    process: subprocess.Popen[bytes]
    http: httpx.Client

    @property
    def address(self) -> str:
        """Where it is."""
        return str(self.http.base_url)

    @property
    def processor_seconds(self) -> float:
        """What all its threads have computed."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def peak_mib(self) -> int:
        """The most memory that it had."""
        return self._status("VmHWM")

    @property
    def memory_mib(self) -> int:
        """The memory that it has."""
        return self._status("VmRSS")

    @property
    def threads(self) -> int:
        """How many threads it has."""
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    @property
    def open_files(self) -> int:
        """How many files and connections it holds open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def wait_for_scan(self) -> list[str]:
        """The ids of all studies, when the folder was searched."""
        while True:
            page = self.http.get(f"{API}/studies?limit=200").raise_for_status().json()
            if not page["scanning"]:
                return [row["id"] for row in page["studies"]]
            time.sleep(0.01)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1]) // 1024


@contextmanager
def serving(folder: Path, weights: str) -> Iterator[Served]:
    """A server on a folder that is ended with the context. Raises RuntimeError where it does not start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mvg.app.cli", "serve", str(folder), "--port", str(port), "--no-browser"]
    process = subprocess.Popen([*command, "--weights", weights], stderr=subprocess.DEVNULL)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600) as http:
        try:
            _wait(process, http)
            yield Served(process, http)
        finally:
            process.terminate()
            process.wait(30)


def _wait(process: "subprocess.Popen[bytes]", http: httpx.Client) -> None:
    for _ in range(2400):
        if process.poll() is not None:
            break
        try:
            http.get(f"{API}/info")
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError("the server did not start")
