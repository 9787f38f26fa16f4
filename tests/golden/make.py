"""Writes the golden predictions with the version of mvg that is imported.

python -m tests.golden.make     (with PYTHONPATH=src)

Run it only when a change of predictions is meant, and say in the commit message why they change.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from mvg.benchmark.provenance import provenance
from tests.golden.golden import stored
from tests.golden.requests import REQUESTS, predict

FILE = Path(__file__).with_name("predictions.json")


def main() -> None:
    """Predict every request and write the file."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    golden: dict[str, Any] = {"provenance": provenance("python -m tests.golden.make", 0), "predictions": {}}
    for name, make in REQUESTS.items():
        request = make()
        voxels = np.asarray(predict(request).voxels)
        golden["predictions"][name] = stored(voxels, request.truth, request.region)
    FILE.write_text(json.dumps(golden) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
