"""Kills the workbench at random moments of painting and of a batch, and looks whether anything accepted was lost.

python -m profiling.kills --output FILE.json [--kills 50] [--seed 0] [--weights tiny]

One thread paints strokes on a study, another follows a batch over the other studies; both note what the server said
that it has. The server gets SIGKILL at a random moment and is started again on the same folder. Then every stroke that
was accepted must be there, bit for bit, every study that was said to be answered must have its prediction, and every
file of labels must be readable. At most one stroke more may be there: it was written, and the reply was cut. The batch
is then resumed, and painting goes on; when all studies are answered, the batch is begun anew.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mvg_client import UNKNOWN, ServerError, Workbench
from numpy.typing import NDArray

from mvg.benchmark.provenance import provenance
from mvg.errors import MvgError
from mvg.imaging.files import read_labels
from profiling.serving import serving
from profiling.workbench import make_studies

_SHAPE = (64, 64, 12)
_STUDIES = 6
_LONGEST = 8.0  # seconds until a kill


@dataclass
class Notes:
    """What the server has accepted: corrections as class numbers (x, y, z), their count, and answered studies."""

    corrections: NDArray[np.uint8] = field(default_factory=lambda: np.full(_SHAPE, UNKNOWN, np.uint8))
    strokes: int = 0
    pending: tuple[int, NDArray[np.uint8]] | None = None
    answered: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def take_pending(self) -> None:
        """Count the stroke that was sent last."""
        assert self.pending is not None, "a stroke was sent"
        index, pixels = self.pending
        self.corrections[:, :, index] = np.where(pixels == UNKNOWN, self.corrections[:, :, index], pixels)
        self.strokes, self.pending = self.strokes + 1, None


def main() -> None:
    """Kill, look, print, and write the result file; the exit status is 1 where something was lost."""
    parser = argparse.ArgumentParser(prog="python -m profiling.kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    header = provenance(" ".join(["python -m profiling.kills", *sys.argv[1:]]), arguments.seed)
    result = {"provenance": header, **measure(arguments.kills, arguments.seed, arguments.weights)}
    print(json.dumps({name: value for name, value in result.items() if name not in ("provenance", "each")}, indent=1))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(bool(result["lost"]))


def measure(kills: int, seed: int, weights: str) -> dict[str, Any]:
    """Kill a server so often; what was accepted and what was lost."""
    rng, notes, each = np.random.default_rng(seed), Notes(), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory(prefix="mvg-") as temporary:
        folder = Path(temporary) / "scans"
        make_studies(folder, _SHAPE, _STUDIES)
        for number in range(kills + 1):
            with serving(folder, weights) as server, Workbench(server.address) as bench:
                server.wait_for_scan()
                _task(bench)
                if number:
                    _compare(bench, folder, notes)
                if number == kills:
                    break
                delay = float(rng.uniform(0.1, _LONGEST))
                with _working(server.address, notes, seed + number):
                    time.sleep(delay)
                    server.kill()
                each.append({
                    "delay": round(delay, 2), "strokes": notes.strokes, "answered": len(notes.answered),
                    "cut_stroke": notes.pending is not None,
                })  # fmt: skip
                print(f"{number + 1}: {each[-1]}, {len(notes.problems)} problems", flush=True)
    return {"kills": kills, "accepted_strokes": notes.strokes, "lost": notes.problems, "each": each}


def _task(bench: Workbench) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The task, which is made once with the labeled study as example, and the other studies."""
    studies = list(bench.studies())
    tasks = bench.tasks()
    if tasks:
        return tasks[0], [study for study in studies if not study["has_labels"]]
    task = bench.create_task("kills", labels=["first", "second"])
    bench.add_example(task, next(study for study in studies if study["has_labels"]))
    return task, [study for study in studies if not study["has_labels"]]


@contextmanager
def _working(address: str, notes: Notes, seed: int) -> Iterator[None]:
    """Paints and predicts in two threads until the server is gone."""
    work = [
        threading.Thread(target=_until_gone, args=(partial(_paint, seed=seed), address, notes)),
        threading.Thread(target=_until_gone, args=(_predict, address, notes)),
    ]
    for thread in work:
        thread.start()
    yield
    for thread in work:
        thread.join()


def _until_gone(work: Callable[[Workbench, Notes], None], address: str, notes: Notes) -> None:
    """Work until the server is gone; what it refuses is a problem."""
    try:
        with Workbench(address) as bench:
            work(bench, notes)
    except ServerError as error:
        if error.status:
            notes.problems.append(f"refused: {error}")


def _paint(bench: Workbench, notes: Notes, seed: int) -> None:
    """Paint without end; a stroke without a reply stays pending."""
    rng, (task, studies) = np.random.default_rng(seed), _task(bench)
    session = bench.open(task, studies[0])
    while True:
        index, pixels = int(rng.integers(_SHAPE[2])), np.full(_SHAPE[:2], UNKNOWN, np.uint8)
        row, column = rng.integers(0, 48, 2)
        pixels[row : row + 16, column : column + 16] = rng.integers(0, 3)
        notes.pending = index, pixels
        session.correct(2, index, pixels)
        notes.take_pending()


def _predict(bench: Workbench, notes: Notes) -> None:
    """Resume the newest batch, or begin one, without end; note which studies the server says are answered."""
    task, studies = _task(bench)
    while True:
        batches = bench.batches(task)
        if batches and batches[0].facts()["state"] != "finished":
            batch = batches[0]
            batch.resume()
        else:
            batch = bench.predict_all(task, studies[1:])
        for _ in batch.progress():
            notes.answered |= {study["id"] for study in bench.studies(task, state="answered")}


def _compare(bench: Workbench, folder: Path, notes: Notes) -> None:
    """Compare what the server has with what it had accepted."""
    task, studies = _task(bench)
    session = bench.open(task, studies[0])
    corrections, count = session.corrections(), int(session.facts()["undo"])
    if count == notes.strokes + 1 and notes.pending is not None:
        notes.take_pending()
    if count != notes.strokes or not np.array_equal(corrections, notes.corrections):
        notes.problems.append(f"{count} of {notes.strokes} strokes are there, or their pixels differ")
    answered = {study["id"] for study in bench.studies(task, state="answered")}
    if not notes.answered <= answered:
        notes.problems.append(f"{len(notes.answered - answered)} answers are gone")
    for study in sorted(answered):
        path = folder / "mvg" / "tasks" / task["id"] / "sessions" / study / "prediction.nii.gz"
        try:
            read_labels(path)
        except MvgError as error:
            notes.problems.append(f"an answer cannot be read: {error}")


if __name__ == "__main__":
    main()
