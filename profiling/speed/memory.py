"""Peak memory against the length of the query volume; each length in a process of its own."""

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mvg.imaging.volume import LabelMap, Volume
from mvg.model.config import SIZES
from mvg.model.generalist import Generalist
from mvg.prediction.predictor import Predictor

_SIDE = 128
_MIB = 2**20
_REPEATS = 3


def memory(lengths: tuple[int, ...]) -> dict[str, Any]:
    """Peak resident memory of predicting volumes of 128 x 128 x length with `tiny` and four prompts, in MiB.

    "beyond_mb" is the working memory: the peak less the resident memory right before (with the query) and less the
    prediction itself. Goal: it does not grow with the length. Each figure is the median of a few processes, because
    the allocator returns memory at times of its own choice.
    """
    return {"side": _SIDE, "rows": [_row(length) for length in lengths]}


def _row(length: int) -> dict[str, float]:
    figures = [_measured_in_process(length) for _ in range(_REPEATS)]
    rows = np.array([(peak, size, peak - before - size) for before, peak, size in figures])
    peak, size, beyond = (round(float(value), 1) for value in np.median(rows, axis=0))
    return {"slices": length, "peak_mb": peak, "answer_mb": size, "beyond_mb": beyond}


def _measured_in_process(length: int) -> tuple[float, ...]:
    """Resident memory before the prediction, its peak, and the prediction's size, in MiB."""
    command = [sys.executable, "-m", "profiling.speed.memory", str(length)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return tuple(float(word) for word in result.stdout.split())


def _measure(length: int) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    images = [Volume(rng.random((_SIDE, _SIDE, 1), np.float32), affine) for _ in range(4)]
    labels = [LabelMap(image.voxels > 0.5, affine) for image in images]
    task = Predictor(Generalist(SIZES["tiny"])).prompt(images, labels)
    task(images[0])  # loads and encodes what is needed once
    query = Volume(rng.random((_SIDE, _SIDE, length), np.float32), affine)
    before = _resident()
    prediction = task(query)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(before, peak, prediction.volume.voxels.nbytes / _MIB)


def _resident() -> float:
    """Resident memory now, in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / _MIB


if __name__ == "__main__":
    _measure(int(sys.argv[1]))
