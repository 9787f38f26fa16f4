"""Measures the workbench as its users meet it: a server in a process of its own, on made studies.

python -m profiling.workbench --output FILE.json [--shape 256 256 128] [--sessions 20]

The file holds wall-clock seconds as a page sees them, the server's processor seconds, and its peak memory: of the first
answer after one painted slice, of strokes, and of several sessions that predict at once.
"""

import argparse
import base64
import json
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from mvg.benchmark.provenance import provenance
from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from profiling.serving import API, Served, serving

_STROKES = 40


@dataclass(frozen=True)
class Plan:
    """What is measured: the shape of the studies, how many sessions predict at once, and the weights."""

    shape: tuple[int, int, int] = (256, 256, 128)
    sessions: int = 20
    weights: str = "tiny"


def main() -> None:
    """Measure, print, and write the result file. Needs Linux, for memory and processor time."""
    arguments = _parser().parse_args()
    plan = Plan(tuple(arguments.shape), arguments.sessions, arguments.weights)
    command = " ".join(["python -m profiling.workbench", *sys.argv[1:]])
    result = {"provenance": provenance(command, 0), **measure(plan)}
    print(json.dumps({name: value for name, value in result.items() if name != "provenance"}, indent=1))
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(plan: Plan) -> dict[str, Any]:
    """All figures of a plan."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "studies"
        folder.mkdir()
        for number in range(plan.sessions):
            write(Volume(phantom(plan.shape, number)[0], np.diag([1.0, 1, 1.5, 1])), folder / f"{number:02d}.nii")
        start = time.perf_counter()
        with serving(folder, plan.weights) as server:
            ready = time.perf_counter() - start
            task = _json(server.http.post(f"{API}/tasks", json={"name": "t", "labels": [{"name": "a"}, {"name": "b"}]}))
            studies = server.wait_for_scan()
            return {
                "shape": list(plan.shape), "server_ready_seconds": round(ready, 2),
                "first_answer": first_answer(server, task["id"], studies[0], plan.shape),
                "strokes": strokes(server, task["id"], studies[0], plan.shape),
                "sessions": sessions(server, task["id"], studies, plan.shape),
            }  # fmt: skip


def first_answer(server: Served, task: str, study: str, shape: tuple[int, int, int]) -> dict[str, float]:
    """Seconds from the end of the first painted slice to the slices beside it, and to the whole volume."""
    session = _open(server, task, study)
    before = server.processor_seconds
    start = time.perf_counter()
    _paint(server, session, shape[2] // 2, phantom(shape, 0)[1][:, :, shape[2] // 2])
    times = [time.perf_counter() - start for name in _predict(server, session) if name == "slice"]
    return {
        "slices_beside_seconds": round(times[min(1, len(times) - 1)], 2),
        "whole_volume_seconds": round(time.perf_counter() - start, 2),
        "processor_seconds": round(server.processor_seconds - before, 2),
    }


def strokes(server: Served, task: str, study: str, shape: tuple[int, int, int]) -> dict[str, float]:
    """Milliseconds until the server has a stroke on disk; half of them in different slices."""
    session, times = _open(server, task, study), []
    for number in range(_STROKES):
        pixels = np.full(shape[:2], 255, np.uint8)
        pixels[number % shape[0], : shape[1] // 2] = 1
        start = time.perf_counter()
        _paint(server, session, number % min(20, shape[2]), pixels)
        times.append(1000 * (time.perf_counter() - start))
    return {"median_ms": round(statistics.median(times), 1), "slowest_ms": round(max(times), 1)}


def sessions(server: Served, task: str, studies: list[str], shape: tuple[int, int, int]) -> dict[str, Any]:
    """How long each of several sessions waits that predict at once, and the server's peak memory."""
    before = server.processor_seconds

    def work(number: int) -> tuple[float, float]:
        session = _open(server, task, studies[number])
        _paint(server, session, shape[2] // 2, phantom(shape, number)[1][:, :, shape[2] // 2])
        start = time.perf_counter()
        times = [time.perf_counter() - start for name in _predict(server, session) if name == "slice"]
        return times[0] if times else 0.0, time.perf_counter() - start

    with ThreadPoolExecutor(len(studies)) as pool:
        firsts, wholes = zip(*pool.map(work, range(len(studies))), strict=True)
    return {
        "count": len(studies), "first_slice_seconds": [round(min(firsts), 2), round(max(firsts), 2)],
        "whole_volume_seconds": [round(min(wholes), 2), round(max(wholes), 2)],
        "processor_seconds": round(server.processor_seconds - before, 1), "peak_memory_mib": server.peak_mib,
    }  # fmt: skip


def phantom(shape: tuple[int, int, int], seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A noisy body with two ellipsoids, and their class numbers."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, length) for length in shape), indexing="ij", sparse=True)
    shift = rng.uniform(-0.1, 0.1, 3)
    body = x**2 + 1.3 * y**2 + 0.8 * z**2 < 0.8
    first = (x - 0.2 - shift[0]) ** 2 + (y + 0.1) ** 2 + z**2 < 0.1
    second = (x + 0.3) ** 2 + (y - 0.2 - shift[1]) ** 2 + 1.5 * z**2 < 0.05
    image = 300.0 * body + 250.0 * first - 150.0 * second + rng.normal(0, 20, shape)
    return image.round().astype(np.float32), np.where(first, 1, np.where(second, 2, 0)).astype(np.uint8)


def make_studies(folder: Path, shape: tuple[int, int, int], count: int) -> None:
    """Write phantoms, the first with its labels beside it."""
    folder.mkdir()
    affine = np.diag([1.0, 1, 2, 1])
    for number in range(count):
        image, numbers = phantom(shape, number)
        write(Volume(image, affine), folder / f"{number}.nii.gz")
        if number == 0:
            write(LabelMap(numbers, affine), folder / f"{number}_labels.nii.gz")


def _open(server: Served, task: str, study: str) -> str:
    return str(_json(server.http.post(f"{API}/sessions", json={"task": task, "study": study}))["id"])


def _paint(server: Served, session: str, index: int, pixels: NDArray[np.uint8]) -> None:
    text = base64.b64encode(zlib.compress(pixels.tobytes(order="F"), 1)).decode()
    body = {"slices": [{"axis": 2, "index": index, "zlib": text}]}
    _json(server.http.post(f"{API}/sessions/{session}/corrections", json=body))


def _predict(server: Served, session: str) -> Iterator[str]:
    """The names of the events of a prediction, as they come."""
    with server.http.stream("POST", f"{API}/sessions/{session}/predict", json={}) as reply:
        yield from (line[7:] for line in reply.iter_lines() if line.startswith("event: "))


def _json(reply: httpx.Response) -> Any:
    reply.raise_for_status()
    return reply.json()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m profiling.workbench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=[256, 256, 128])
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--output", type=Path)
    return parser


if __name__ == "__main__":
    main()
