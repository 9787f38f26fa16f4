"""Runs a request with one version of the sources, in a process of its own, and keeps the outcome."""

import hashlib
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from profiling.comparison.requests import Request

_THREADING = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_SCRIPT = Path(__file__).with_name("predict_request.py")


@dataclass(frozen=True)
class Version:
    """Sources, and the interpreter that runs them.

    environment: variables that set threads, one thread by default; others of the kind are removed.
    """

    source: Path
    python: str
    weights: str
    environment: Mapping[str, str] = field(default_factory=lambda: {"OMP_NUM_THREADS": "1"})

    def digest(self) -> str:
        """A checksum of the sources, weights and interpreter."""
        total = hashlib.sha256(f"{self.python} {self.weights}".encode())
        for path in sorted(self.source.rglob("*")):
            if path.suffix in (".py", ".safetensors", ".json"):
                total.update(str(path.relative_to(self.source)).encode() + path.read_bytes())
        return total.hexdigest()[:16]

    def commit(self) -> str:
        """The commit of the sources, with "+" behind it where files differ from it."""
        command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+"]
        result = subprocess.run(command, cwd=self.source, capture_output=True, text=True, check=False)
        return result.stdout.strip() or "unknown"


@dataclass(frozen=True)
class Outcome:
    """What a version made of a request.

    predictions: an array for each query. seconds: of the processor, for "prompts", each of the "queries", and the
    whole "process" with imports; the command line tells the last alone. wall: wall-clock seconds of the same;
    memory_mib: resident memory "before" the prompts and at the "peak". error: the last line of a failed process.
    """

    predictions: tuple[NDArray[Any], ...]
    seconds: dict[str, Any]
    error: str = ""
    cached: bool = False
    wall: dict[str, Any] = field(default_factory=dict)
    memory_mib: dict[str, float] = field(default_factory=dict)


def digest(request: Request) -> str:
    """A checksum of the request and its files."""
    total = hashlib.sha256(json.dumps(asdict(request.plan)).encode())
    for path in (*(path for pair in request.prompts for path in pair), *(query.image for query in request.queries)):
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()[:16]


def predict(version: Version, request: Request, folder: Path, task_file: Path | None) -> Outcome:
    """The outcome of a request, which is kept in `folder` and read from there the next time."""
    done = folder / "outcome.json"
    if done.exists():
        return _read(folder, cached=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = (
        _command_line(version, request, folder)
        if request.plan.through == "command line"
        else _script(version, request, folder, task_file)
    )
    seconds, error = _run(version, command)
    if error:
        return Outcome((), {"process": seconds}, error)
    if request.plan.through == "command line":
        _collect(request, folder)
    times = folder / "times.json"
    about = json.loads(times.read_text(encoding="utf-8")) if times.exists() else {"seconds": {}, "source": ""}
    if about["source"] and version.source.resolve() not in Path(about["source"]).resolve().parents:
        return Outcome((), {}, f"{about['source']} was imported; expected {version.source}")
    about["seconds"] |= {"process": seconds}
    done.write_text(json.dumps(about), encoding="utf-8")
    return _read(folder, cached=False)


def _read(folder: Path, cached: bool) -> Outcome:
    arrays = [np.load(path)["voxels"] for path in sorted(folder.glob("*.npz"))]
    about = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    measured = {"wall": about.get("wall", {}), "memory_mib": about.get("memory_mib", {})}
    return Outcome(tuple(arrays), about["seconds"], cached=cached, **measured)


def _script(version: Version, request: Request, folder: Path, task_file: Path | None) -> list[str]:
    about = {
        "weights": version.weights,
        "task": request.plan.task,
        "labels": request.plan.target == "labels",
        "prompts": [[str(path) for path in pair] for pair in request.prompts],
        "queries": [str(query.image) for query in request.queries],
        "options": dict(request.plan.options),
        "task_file": None if task_file is None else str(task_file),
    }
    file = folder / "request.json"
    file.write_text(json.dumps(about, indent=2), encoding="utf-8")
    return [version.python, "-P", str(_SCRIPT), str(file), str(folder)]


def _command_line(version: Version, request: Request, folder: Path) -> list[str]:
    for name, number in (("images", 0), ("targets", 1)):
        (folder / "prompts" / name).mkdir(parents=True)
        for pair in request.prompts:
            link = pair[1].name.removeprefix("labelsTr-")
            (folder / "prompts" / name / link).symlink_to(pair[number].resolve())
    queries = [str(query.image) for query in request.queries]
    options = ["--prompts", str(folder / "prompts"), "--output", str(folder / "output"), "--weights", version.weights]
    return [version.python, "-P", "-m", "mvg.app.cli", "predict", *queries, *options, "--device", "cpu", "--quiet"]


def _collect(request: Request, folder: Path) -> None:
    for number, query in enumerate(request.queries):
        image = nibabel.load(folder / "output" / query.image.name)
        np.savez_compressed(folder / f"{number}.npz", voxels=np.asarray(image.dataobj), affine=image.affine)


def _run(version: Version, command: list[str]) -> tuple[float, str]:
    """Processor seconds of the process, and the last line that it wrote to stderr if it failed."""
    kept = {name: value for name, value in os.environ.items() if name not in _THREADING}
    environment = kept | {"PYTHONPATH": str(version.source.resolve())} | dict(version.environment)
    before = _children_seconds()
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
    return _children_seconds() - before, lines[-1] if result.returncode else ""


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
