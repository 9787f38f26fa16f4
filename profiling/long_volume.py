"""Peak memory against the number of slices: a CT of an nnU-Net set, enlarged, answered from eight prompt volumes.

    python -m profiling.long_volume --data FOLDER/btcv [--slices 128 250 500 1000] [--labels 1 2 3]
                                                           # -> profiling/results/long-volume.json

Each number of slices is answered in a process of its own on one thread, with prompts of 512 x 512 x 128. `beyond` is
the peak less the memory before the prompts are encoded, with all volumes in it, and less the answer; `beyond volumes`
is the whole peak, with Python and PyTorch, less the query, the prompts and the answer.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from mvg.benchmark.provenance import provenance
from profiling.comparison.requests import Request
from profiling.comparison.versions import Version, predict
from profiling.pipeline import enlarged, figures

_SIDE, _PROMPT_SLICES, _PROMPTS = 512, 128, 8


def main() -> None:
    """Measure each number of slices, print its figures, and write the file."""
    parser = argparse.ArgumentParser(prog="python -m profiling.long_volume", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a set in the nnU-Net raw layout")
    parser.add_argument("--slices", type=int, nargs="+", default=[128, 250, 500, 1000])
    parser.add_argument("--labels", type=int, nargs="+", default=[1, 2, 3], help="of the prompts; others are removed")
    parser.add_argument("--cache", type=Path, help="keeps the enlarged volumes for the next run")
    parser.add_argument("--output", type=Path, default=Path("profiling/results/long-volume.json"))
    arguments = parser.parse_args()
    about = provenance(" ".join(["python -m profiling.long_volume", *sys.argv[1:]]), 0)
    result: dict[str, Any] = {"provenance": about, "side": _SIDE, "prompts": _PROMPTS, "labels": arguments.labels}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.cache or Path(temporary)
        for count in arguments.slices:
            request = long_request(arguments.data, folder, count, arguments.labels)
            row = measured(request, Path(temporary) / f"run-{count}")
            result.setdefault("slices", {})[str(count)] = row
            print(count, json.dumps(row), flush=True)
            arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def long_request(data: Path, folder: Path, slices: int, labels: Sequence[int]) -> Request:
    """Prompts with these labels alone, and a query of so many slices over the same body."""
    sides, long = (_SIDE, _SIDE, _PROMPT_SLICES), (_SIDE, _SIDE, slices)
    request = enlarged(data, folder, sides, _PROMPTS, long)
    pairs = tuple((image, _with_labels(truth, labels)) for image, truth in request.prompts)
    return Request(request.plan, pairs, request.queries)


def _with_labels(path: Path, labels: Sequence[int]) -> Path:
    file = path.with_name(f"labels-{'-'.join(map(str, labels))}-{path.name}")
    if not file.exists():
        image = nibabel.load(path)
        voxels = np.asarray(image.dataobj)
        nibabel.save(nibabel.Nifti1Image(np.where(np.isin(voxels, labels), voxels, 0), image.affine), file)
    return file


def measured(request: Request, folder: Path) -> dict[str, Any]:
    """Seconds and MiB; volumes are held in 32 bits, labels in 8."""
    outcome = predict(Version(Path("src"), sys.executable, "tiny"), request, folder, None)
    row = figures(outcome)
    answer = outcome.predictions[0]
    voxels = answer.size + len(request.prompts) * _SIDE**2 * _PROMPT_SLICES
    volumes = {"query": 4 * answer.size, "prompts": 5 * (voxels - answer.size), "answer": answer.nbytes}
    row["memory_mib"] |= {name: round(size / 2**20) for name, size in volumes.items()}
    row["memory_mib"]["beyond volumes"] = round(row["memory_mib"]["peak"] - sum(volumes.values()) / 2**20)
    return row


if __name__ == "__main__":
    main()
