"""How long training waits for shards behind a slow link: 100 MB/s and 50 ms of latency, simulated on local files.

    python -m profiling.shards STORE [STEPS]    # a prepared store -> profiling/results/shards.json

The reader sleeps 50 ms before each range, and all threads share 100 MB/s. Beside the share of the time that training
waited for data stand the seconds of a step, since waiting is less where a step takes longer.
"""

import json
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from mvg.benchmark.provenance import provenance
from mvg.data.shards import write_shards
from mvg.training.launch import RunLocation
from mvg.training.optimization import Progress
from mvg.training.recipe import Recipe, read_recipe
from mvg.training.train import train

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "shards.json"
LATENCY, BYTES_PER_SECOND = 0.05, 100e6
STEPS = 16
_FIRST = 3  # steps that do not count


class ThrottledFiles(LocalFileSystem):
    """Local files behind a slow link."""

    protocol = "throttled"
    _link = threading.Lock()

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return super()._strip_protocol(str(path).removeprefix("throttled://"))

    def cat_file(self, path: str, start: Any = None, end: Any = None, **options: Any) -> bytes:
        """The bytes of a range, late."""
        time.sleep(LATENCY)
        content = bytes(super().cat_file(path, start=start, end=end, **options))
        with self._link:
            time.sleep(len(content) / BYTES_PER_SECOND)
        return content


def measured(recipe: Recipe, folder: Path) -> dict[str, float]:
    """Seconds of a run, and the share of them in which it waited for data; the first steps do not count."""
    points: list[tuple[float, float]] = []

    def on_step(progress: Progress, result: Any, share: float) -> None:
        points.append((progress.seconds, progress.waited))

    train(recipe, RunLocation(folder, "cpu"), None, on_step)
    (start, waited_before), (end, waited) = points[_FIRST], points[-1]
    step = (end - start) / (len(points) - 1 - _FIRST)
    return {"seconds of a step": round(step, 3), "waiting": round((waited - waited_before) / (end - start), 4)}


def main(store: Path, steps: int = STEPS) -> None:
    """Train from the store, and from shards behind the link as it comes and without reading ahead."""
    fsspec.register_implementation("throttled", ThrottledFiles)
    recipe = read_recipe(ROOT / "recipes" / "tiny.toml")
    schedule = replace(recipe.schedule, minutes=0.0, steps=steps, checkpoint_minutes=1e9, validation_minutes=1e9)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shards(store, folder / "shards")
        address = f"throttled://{folder / 'shards'}"
        runs = {
            "store": replace(recipe.data, store=str(store)),
            "slow link": replace(recipe.data, store=address),
            "slow link, read_ahead = 0": replace(recipe.data, store=address, read_ahead=0),
        }
        results = {
            title: measured(replace(recipe, data=data, schedule=schedule), folder / f"run-{number}")
            for number, (title, data) in enumerate(runs.items())
        }
    command = f"python -m profiling.shards {store.name} {steps}"
    content = {"provenance": provenance(command, recipe.seed), "latency": LATENCY, "bytes_per_second": BYTES_PER_SECOND}
    RESULTS.write_text(json.dumps({**content, "runs": results}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
