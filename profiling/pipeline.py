"""Measures the whole pipeline on a large request: volumes of an nnU-Net set, enlarged, with eight prompt volumes.

python -m profiling.pipeline --old-source OLD/src --data FOLDER/btcv --output FILE.json [--sides 512 512 128]

Two versions answer the same request, prompts included, each in a process of its own: both on one thread, and the new
one as users run it, also beside a busy loop on each core. The file holds processor and wall-clock seconds, peak memory,
and the Dice between the versions and with the truth.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from scipy import ndimage

from mvg.benchmark.provenance import provenance
from profiling.comparison.measures import label_difference
from profiling.comparison.requests import Query, Request, RequestPlan, build, read_array
from profiling.comparison.versions import Outcome, Version, predict
from profiling.spin import busy_processes

_ONE_THREAD = {"OMP_NUM_THREADS": "1"}
_AS_USED: dict[str, str] = {}


@dataclass(frozen=True)
class Run:
    """A version, its environment, and the busy processes beside it."""

    name: str
    version: Version
    busy: int = 0


def main() -> None:
    """Measure the chosen runs, print a line for each, and write the result file."""
    arguments = _parser().parse_args()
    command = " ".join(["python -m profiling.pipeline", *sys.argv[1:]])
    about = provenance(command, 0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.cache or Path(temporary)
        request = enlarged(arguments.data, folder / "inputs", tuple(arguments.sides), arguments.prompts)
        outcomes: dict[str, Outcome] = {}
        result: dict[str, Any] = {"provenance": about, "sides": arguments.sides, "prompts": len(request.prompts)}
        for run in _runs(arguments):
            with busy_processes(run.busy):
                outcomes[run.name] = predict(run.version, request, Path(temporary) / run.name.replace(" ", "-"), None)
            row = figures(outcomes[run.name]) | {"commit": run.version.commit()}
            result.setdefault("runs", {})[run.name] = row
            print(f"{run.name}: {row}", flush=True)
        result["ratios"] = ratios(result["runs"])
        result["dice"] = _dice(outcomes, request.queries[0])
    print(json.dumps(result["ratios"] | result["dice"], indent=1))
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m profiling.pipeline", description=__doc__.splitlines()[0])
    parser.add_argument("--old-source", type=Path, help="folder that holds the old package mvg; none: not compared")
    parser.add_argument("--new-source", type=Path, default=Path("src"), help="folder that holds the new package mvg")
    parser.add_argument("--data", type=Path, required=True, help="a set in the nnU-Net raw layout")
    parser.add_argument("--sides", type=int, nargs=3, default=(512, 512, 128), help="voxels along each axis")
    parser.add_argument("--prompts", type=int, default=8, help="prompt volumes")
    parser.add_argument("--runs", nargs="+", choices=("one thread", "as used", "busy"), default=("one thread",))
    parser.add_argument("--python", default=sys.executable, help="interpreter of both versions")
    parser.add_argument("--weights", default="tiny", help="id or folder of the weights")
    parser.add_argument("--cache", type=Path, help="keeps the enlarged volumes for the next run")
    parser.add_argument("--output", type=Path, help="the result file")
    return parser


def _runs(arguments: argparse.Namespace) -> list[Run]:
    def version(source: Path, environment: Mapping[str, str]) -> Version:
        return Version(source, arguments.python, arguments.weights, environment)

    runs = []
    if "one thread" in arguments.runs:
        if arguments.old_source is not None:
            runs.append(Run("old, one thread", version(arguments.old_source, _ONE_THREAD)))
        runs.append(Run("new, one thread", version(arguments.new_source, _ONE_THREAD)))
    if "as used" in arguments.runs:
        runs.append(Run("new, as used", version(arguments.new_source, _AS_USED)))
    if "busy" in arguments.runs:
        runs.append(Run("new, busy", version(arguments.new_source, _AS_USED), os.cpu_count() or 1))
    return runs


def enlarged(
    dataset: Path, folder: Path, sides: tuple[int, ...], prompts: int, query_sides: tuple[int, ...] = ()
) -> Request:
    """A request whose volumes, images and labels, have these sides, and the query its own if it has; made once."""
    plan = RequestPlan(dataset.name, prompts=prompts, queries=1)
    request = build(plan, (dataset.parent,), folder, 0)
    if request is None or not request.prompts:
        raise SystemExit(f"'{dataset}' holds no cases; expected a set in the nnU-Net raw layout.")
    pairs = tuple((_enlarged(image, folder, sides, 1), _enlarged(truth, folder, sides, 0))
                  for image, truth in request.prompts)  # fmt: skip
    query = request.queries[0]
    sides = query_sides or sides
    queries = (Query(_enlarged(query.image, folder, sides, 1), _enlarged(query.truth, folder, sides, 0)),)
    return Request(plan, pairs, queries)


def _enlarged(path: Path, folder: Path, sides: tuple[int, ...], order: int) -> Path:
    """A copy of a volume on a finer grid over the same body; order: of the interpolation."""
    size = "x".join(map(str, sides))
    file = folder / f"{path.parent.name}-{path.name.split('.')[0]}-{size}.nii"
    if not file.exists():
        image = nibabel.load(path)
        voxels = np.asarray(image.dataobj)
        factors = [side / length for side, length in zip(sides, voxels.shape, strict=True)]
        larger = ndimage.zoom(voxels, factors, order=order, mode="nearest", grid_mode=True)
        assert larger.shape == tuple(sides)
        affine = image.affine @ np.diag([*(1 / factor for factor in factors), 1])
        nibabel.save(nibabel.Nifti1Image(larger, affine), file)
    return file


def figures(outcome: Outcome) -> dict[str, Any]:
    """Seconds and MiB of a run; `beyond` is the peak less the memory before the prompts and less the prediction."""
    if outcome.error:
        raise SystemExit(f"a run failed: {outcome.error}")
    processor, wall = (_total(seconds) for seconds in (outcome.seconds, outcome.wall))
    answer = outcome.predictions[0].nbytes / 2**20
    memory = {name: round(value) for name, value in outcome.memory_mib.items()}
    memory["beyond"] = round(outcome.memory_mib["peak"] - outcome.memory_mib["before"] - answer)
    return {"processor_seconds": processor, "wall_seconds": wall, "memory_mib": memory}


def _total(seconds: Mapping[str, Any]) -> dict[str, float]:
    prompts, query = float(seconds["prompts"]), float(seconds["queries"][0])
    return {"prompts": round(prompts, 2), "query": round(query, 2), "total": round(prompts + query, 2)}


def ratios(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """How runs compare; only those of one call are comparable."""
    pairs = {
        "old by new, processor": ("old, one thread", "new, one thread", "processor_seconds"),
        "one thread by as used, wall": ("new, one thread", "new, as used", "wall_seconds"),
        "busy by as used, wall": ("new, busy", "new, as used", "wall_seconds"),
        "busy by as used, processor": ("new, busy", "new, as used", "processor_seconds"),
    }
    return {
        name: round(runs[one][clock]["total"] / runs[other][clock]["total"], 2)
        for name, (one, other, clock) in pairs.items()
        if one in runs and other in runs
    }


def _dice(outcomes: Mapping[str, Outcome], query: Query) -> dict[str, Any]:
    """Mean Dice over labels of every run with the first one, and with the truth."""
    truth, (first, *_) = read_array(query.truth), outcomes.values()
    rows: dict[str, Any] = {}
    for name, outcome in outcomes.items():
        one, other = first.predictions[0], outcome.predictions[0]
        difference = label_difference(one, other, truth)
        with_truth = difference.dice_with_truth[1] if difference.dice_with_truth else None
        rows[name] = {"with the first run": difference.dice, "with the truth": with_truth}
    return rows


if __name__ == "__main__":
    main()
