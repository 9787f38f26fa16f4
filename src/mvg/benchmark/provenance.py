"""The origin of a result: command, commit, hardware, software, time."""

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch


def provenance(command: str, seed: int) -> dict[str, Any]:
    """The header that every result file has."""
    return {
        "command": command,
        "commit": commit(),
        "seed": seed,
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def commit() -> str:
    """The commit of this source, with "+" after it where files differ from it; "unknown" outside of a repository."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+"]
    output = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, check=False).stdout
    return output.decode().strip() or "unknown"


def cpu() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
