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
_TIMES = 3


def memory(lengths: tuple[int, ...]) -> dict[str, Any]:
    """Peak resident memory of answering volumes of 128 x 128 x length with `tiny` and four prompts.

    "beyond_mb" is the peak less what is resident right before (the query among it), and less the answer itself: what
    the model works with. Goal: flat. Medians of a few processes, since what is freed is given back at will.
    """
    rows = []
    for length in lengths:
        told = np.array([_told(length) for _ in range(_TIMES)])
        peak, answer, beyond = np.median([(peak, size, peak - before - size) for before, peak, size in told], axis=0)
        rows.append(
            {
                "slices": length,
                "peak_mb": round(float(peak), 1),
                "answer_mb": round(float(answer), 1),
                "beyond_mb": round(float(beyond), 1),
            }
        )
    return {"side": _SIDE, "rows": rows}


def _told(length: int) -> tuple[float, ...]:
    """Resident memory before, its peak and the answer's size, in MiB, from a process of its own."""
    command = [sys.executable, "-m", "profiling.speed.memory", str(length)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return tuple(float(word) for word in said.stdout.split())


def _measure(length: int) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    shown = [Volume(rng.random((_SIDE, _SIDE, 1), np.float32), affine) for _ in range(4)]
    labels = [LabelMap(one.voxels > 0.5, affine) for one in shown]
    task = Predictor(Generalist(SIZES["tiny"])).prompt(shown, labels)
    task(shown[0])  # what is loaded or encoded on first use
    query = Volume(rng.random((_SIDE, _SIDE, length), np.float32), affine)
    before = _resident()
    answer = task(query)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(before, peak, answer.volume.voxels.nbytes / _MIB)


def _resident() -> float:
    """Resident memory now, in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / _MIB


if __name__ == "__main__":
    _measure(int(sys.argv[1]))
