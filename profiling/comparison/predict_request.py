"""Predicts one request with the version of mvg that is first on PYTHONPATH; a process of its own.

python -P predict_request.py REQUEST.json OUTPUT_FOLDER

It adapts to the version: a parameter that has another name there is found by the signature. It writes `NUMBER.npz`
for each query and `times.json`: processor seconds of this process for the prompts and for each query, wall-clock
seconds of the same, and MiB of resident memory before the prompts and at the peak.
"""

import inspect
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mvg

# The names that an option has had, the newest first, and the values that a name takes instead of ours.
_PARAMETERS: dict[str, tuple[str, ...]] = {"zoom": ("zoom", "look"), "reject": ("min_probability", "reject")}
_VALUES: dict[str, dict[object, object]] = {"look": {"auto": "close", "off": "whole"}}


def main() -> None:
    """Predict all queries of a request."""
    request, output = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2])
    predictor = mvg.load(request["weights"], device="cpu")
    images = [mvg.read(image) for image, _ in request["prompts"]]
    read_target = _label_reader() if request["labels"] else mvg.read
    targets = [read_target(target) for _, target in request["prompts"]]
    queries = [mvg.read(query) for query in request["queries"]]

    before, clock = _resident(), _Clock()
    task = _prompted(predictor, images, targets, request)
    seconds: dict[str, Any] = {"prompts": clock.processor(), "queries": []}
    wall: dict[str, Any] = {"prompts": clock.wall(), "queries": []}
    for number, query in enumerate(queries):
        clock = _Clock()
        prediction = task(query)
        seconds["queries"].append(clock.processor())
        wall["queries"].append(clock.wall())
        np.savez_compressed(output / f"{number}.npz", voxels=prediction.volume.voxels, affine=prediction.volume.affine)
    memory = {"before": before, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    about = {"seconds": seconds, "source": mvg.__file__, "version": mvg.__version__, "wall": wall, "memory_mib": memory}
    (output / "times.json").write_text(json.dumps(about), encoding="utf-8")


class _Clock:
    """Processor and wall-clock seconds since it was made."""

    def __init__(self) -> None:
        self._processor, self._wall = time.process_time(), time.perf_counter()

    def processor(self) -> float:
        return time.process_time() - self._processor

    def wall(self) -> float:
        return time.perf_counter() - self._wall


def _resident() -> float:
    """Resident memory now, in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def _prompted(predictor: Any, images: list[Any], targets: list[Any], request: dict[str, Any]) -> Any:
    """The task: prompted here, or opened from a task file, which is written first where it does not exist."""
    file = request["task_file"]
    if file is not None and Path(file).exists():
        return mvg.load_task(file, device="cpu")
    task = predictor.prompt(images, targets, request["task"], **_arguments(predictor.prompt, request["options"]))
    if file is None:
        return task
    task.save(file)
    return mvg.load_task(file, device="cpu")


def _arguments(method: Callable[..., Any], options: dict[str, object]) -> dict[str, object]:
    """The options as this version takes them: keywords of the method, or fields of its `options`."""
    parameters = inspect.signature(method).parameters
    if "options" not in parameters:
        return _renamed(options, set(parameters))
    from mvg.prediction.options import PredictionOptions

    return {"options": PredictionOptions(**_renamed(options, set(inspect.signature(PredictionOptions).parameters)))}


def _renamed(options: dict[str, object], names: set[str]) -> dict[str, object]:
    renamed = {}
    for option, value in options.items():
        name = next((name for name in _PARAMETERS.get(option, (option,)) if name in names), None)
        if name is None:
            raise SystemExit(f"this version takes no '{option}'; expected one of {sorted(names)}; add its name above.")
        renamed[name] = _VALUES.get(name, {}).get(value, value)
    return renamed


def _label_reader() -> Callable[[str], Any]:
    if hasattr(mvg, "read_labels"):
        return mvg.read_labels
    from mvg.imaging.files import read_labels

    return read_labels


if __name__ == "__main__":
    main()
