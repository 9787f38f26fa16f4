"""Peak memory against the length of the query volume; each length in a process of its own."""

import resource
import subprocess
import sys
from typing import Any

import numpy as np
import torch

from mvg.imaging.volume import LabelMap, Volume
from mvg.model.generalist import SIZES, Generalist
from mvg.prediction.predictor import Predictor

_SIDE = 128
_MIB = 2**20


def memory(lengths: tuple[int, ...]) -> dict[str, Any]:
    """Peak resident memory of answering volumes of 128 x 128 x length with `tiny` and four prompts.

    "beyond_mb" is what answering adds to what was there before (the query among it), less the answer itself. Goal:
    flat.
    """
    rows = []
    for length in lengths:
        said = subprocess.run(
            [sys.executable, "-m", "benchmarks.speed.memory", str(length)], capture_output=True, text=True, check=True
        )
        before, peak, answer = (float(word) for word in said.stdout.split())
        rows.append(
            {
                "slices": length,
                "peak_mb": round(peak, 1),
                "answer_mb": round(answer, 1),
                "beyond_mb": round(peak - before - answer, 1),
            }
        )
    return {"side": _SIDE, "rows": rows}


def _measure(length: int) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    shown = [Volume(rng.random((_SIDE, _SIDE, 1), np.float32), affine) for _ in range(4)]
    labels = [LabelMap(one.voxels > 0.5, affine) for one in shown]
    task = Predictor(Generalist(SIZES["tiny"])).prompt(shown, labels)
    task(shown[0])  # what is loaded or encoded on first use
    query = Volume(rng.random((_SIDE, _SIDE, length), np.float32), affine)
    before = _peak()
    answer = task(query)
    print(before, _peak(), answer.volume.voxels.nbytes / _MIB)


def _peak() -> float:
    """The most resident memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    _measure(int(sys.argv[1]))
