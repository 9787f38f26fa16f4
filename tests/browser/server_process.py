"""`mvg serve` as a process of its own, which a test may kill and start again."""

import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

_START = "from mvg.app.cli import main; main()"
_PATIENCE = 300


@dataclass
class ServerProcess:
    """A server for the studies in `folder`, on one port all its life. token: that it asks for, or None."""

    folder: Path
    options: tuple[str, ...] = ()
    token: str | None = None
    port: int = field(default_factory=lambda: free_port())
    process: "subprocess.Popen[str] | None" = None

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when the server replies."""
        command = [sys.executable, "-c", _START, "serve", str(self.folder), "--port", str(self.port), "--no-browser"]
        command += [*self.options, *(() if self.token is None else ("--token", self.token))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            try:
                httpx.get(f"{self.address}/api/v1/info", timeout=5).raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.1)
        raise AssertionError(f"the server did not start: {self.output()}")

    def kill(self) -> None:
        """Ends the server at once, as a power cut does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def output(self) -> str:
        """What the server printed; ends it."""
        self.kill()
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def request(self, method: str, path: str, **body: object) -> dict[str, object]:
        """A request to the interface."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        response = httpx.request(
            method, f"{self.address}/api/v1/{path}", json=body or None, headers=headers, timeout=60
        )
        response.raise_for_status()
        result: dict[str, object] = response.json()
        return result

    def studies(self) -> dict[str, str]:
        """The identifier of each study, by name."""
        listed = self.request("GET", "studies?limit=200")["studies"]
        assert isinstance(listed, list)
        return {re.sub(r"\.nii\.gz$|\.png$", "", study["name"]): study["id"] for study in listed}

    def new_task(self, name: str, *labels: str) -> str:
        """Makes a segmentation task; returns its identifier."""
        task = self.request("POST", "tasks", name=name, kind="segmentation", labels=[{"name": one} for one in labels])
        return str(task["id"])


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
