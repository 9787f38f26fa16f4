"""Measures what a query costs beside other busy processes: by default, and on one OpenMP thread.

python -m profiling.spin [--source src] [--output FILE.json]

OpenMP threads that wait for one another spin. Where other processes keep the cores busy they wait long, and processor
time goes into waiting. The script makes three prompts and a query of the size of a hippocampus, keeps every core busy
with a loop, runs `mvg predict` once for each environment, and prints processor seconds and their ratio.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.benchmark.provenance import provenance

_SHAPE, _PROMPTS = (36, 50, 36), 3  # voxels of 1 mm
_THREADING = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")
ENVIRONMENTS: dict[str, dict[str, str]] = {"default": {}, "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"}}


def main() -> None:
    """Measure both environments, print, and write a file where one is named."""
    parser = argparse.ArgumentParser(prog="python -m profiling.spin", description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=Path("src"), help="folder that holds the package mvg")
    parser.add_argument("--busy", type=int, default=os.cpu_count(), help="busy processes beside it")
    parser.add_argument("--limit", type=float, default=600, help="wall-clock seconds after which a run is stopped")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a result file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, busy_processes(arguments.busy):
        command = make_request(Path(temporary), arguments.seed)
        rows = {}
        for name, settings in ENVIRONMENTS.items():
            rows[name] = run(command, settings, arguments.source, arguments.limit)
            print(f"{name}: {rows[name]}", flush=True)
    default, single = (rows[name]["processor_seconds"] for name in ENVIRONMENTS)
    about = provenance(" ".join(["python -m profiling.spin", *sys.argv[1:]]), arguments.seed)
    result = {"provenance": about, "busy_processes": arguments.busy, "runs": rows, "ratio": round(default / single, 2)}
    print(f"default / OMP_NUM_THREADS=1: {result['ratio']}")
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def make_request(folder: Path, seed: int) -> list[str]:
    """Write prompts and a query; the arguments of `mvg` that predict it."""
    rng = np.random.default_rng(seed)
    for name in ("images", "targets"):
        (folder / name).mkdir()
    for number in range(_PROMPTS + 1):
        image, labels = _hippocampus(rng)
        query = number == _PROMPTS
        nibabel.save(_nifti(image), folder / ("query.nii.gz" if query else f"images/case{number}.nii.gz"))
        if not query:
            nibabel.save(_nifti(labels), folder / f"targets/case{number}.nii.gz")
    output = str(folder / "output")
    return ["predict", str(folder / "query.nii.gz"), "--prompts", str(folder), "--output", output, "--device", "cpu"]


def _hippocampus(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A noisy image with an ellipsoid in it, and its anterior and posterior halves."""
    axes = np.indices(_SHAPE).astype(np.float64)
    center = np.array(_SHAPE) / 2 + rng.uniform(-2, 2, 3)
    radii = np.array([6, 16, 6]) * rng.uniform(0.85, 1.15, 3)
    inside = sum(((axes[n] - center[n]) / radii[n]) ** 2 for n in range(3)) <= 1
    labels = np.where(inside, 1 + (axes[1] < center[1]), 0).astype(np.uint8)
    texture = ndimage.gaussian_filter(rng.normal(size=_SHAPE), 1.5)
    image = 100 + 60 * ndimage.gaussian_filter(inside.astype(float), 0.8) + 80 * texture + rng.normal(0, 5, _SHAPE)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def _nifti(voxels: NDArray[np.uint8]) -> Any:
    return nibabel.Nifti1Image(voxels, np.eye(4))


@contextmanager
def busy_processes(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that compute without an end, while the context lasts."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run(command: list[str], settings: Mapping[str, str], source: Path, limit: float) -> dict[str, Any]:
    """Processor and wall-clock seconds of `mvg`, and whether it finished within the limit (else it is stopped).

    settings: environment variables; other variables that set threads are removed.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _THREADING}
    environment = kept | {"PYTHONPATH": str(source.resolve())} | dict(settings)
    line = [sys.executable, "-P", "-m", "mvg.app.cli", *command, "--quiet"]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    try:
        subprocess.run(line, env=environment, check=True, timeout=limit)
        finished = True
    except subprocess.TimeoutExpired:
        finished = False
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seconds = round(time.perf_counter() - start, 2)
    return {"processor_seconds": round(spent, 2), "wall_seconds": seconds, "finished": finished}


if __name__ == "__main__":
    main()
