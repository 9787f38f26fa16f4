"""Many small studies on a local Ray cluster: one worker, two, and two of which one is killed, beside this process.

    python -m profiling.engines [STUDIES]       # -> profiling/results/engines.json

Says of each run how many studies were answered, and how often each; whether the answers are those of the first run,
byte for byte; seconds by the clock in all and until the first answer (the start of Ray and of its workers), studies per
second in all, seconds of processors in workers, and how much memory a worker held after a quarter of its studies and at
the end; and how many times the studies per second of one worker two reach, in all and after the first answer. On a
machine with other work, processors' seconds for a study are what can be compared.
"""

import hashlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from mvg.benchmark.provenance import provenance
from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.batch import Job, Outcome, plan
from mvg.prediction.engine_choice import EngineChoice, predict_on
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import load
from mvg.prediction.prompted_task import PromptedTask

RESULTS = Path(__file__).parent / "results" / "engines.json"
_SHAPE = (96, 96, 24)
_AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])


@dataclass(frozen=True)
class Run:
    """An engine with so many workers, of which one is killed after a third of the studies or not."""

    title: str
    engine: EngineChoice
    kills: bool = False


_RUNS = (
    Run("this process", EngineChoice("local", "", 1, "cpu")),
    Run("one worker", EngineChoice("ray", "", 1, "cpu")),
    Run("two workers", EngineChoice("ray", "", 2, "cpu")),
    Run("two workers, one killed", EngineChoice("ray", "", 2, "cpu"), kills=True),
)


class WorkerWatch:
    """Looks at Ray's workers every half second: processors' seconds of each, and its memory."""

    def __init__(self) -> None:
        self.seconds: dict[int, float] = {}
        self.memory: dict[int, list[int]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "WorkerWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def workers(self) -> list[psutil.Process]:
        """The processes of actors below this one."""
        children = psutil.Process().children(recursive=True)
        return [one for one in children if _name(one).startswith("ray::Worker")]

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            for process in self.workers():
                try:
                    times = process.cpu_times()
                    self.seconds[process.pid] = times.user + times.system
                    self.memory.setdefault(process.pid, []).append(process.memory_info().rss)
                except psutil.Error:
                    continue

    def growth(self) -> list[list[int]]:
        """MiB of each worker after a quarter of its time and at the end."""
        return [[held[len(held) // 4] >> 20, held[-1] >> 20] for held in self.memory.values() if len(held) > 8]


def _name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def make_studies(folder: Path, count: int) -> list[Path]:
    """Bodies with one organ whose place depends on the number."""
    paths = []
    for number in range(count):
        paths.append(folder / f"study{number:03d}.nii.gz")
        write(_study(number)[0], paths[-1])
    return paths


def _study(number: int) -> tuple[Volume, LabelMap]:
    rng = np.random.default_rng(number)
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, length) for length in _SHAPE), indexing="ij")
    center = rng.uniform(-0.4, 0.4, 2)
    labels = ((x - center[0]) ** 2 + (y - center[1]) ** 2 < 0.1).astype(np.uint8)
    image = np.where(x**2 + y**2 < 0.8, 300 + 400.0 * labels, 0) + rng.normal(0, 20, _SHAPE)
    return Volume(image.astype(np.float32), _AFFINE), LabelMap(labels, _AFFINE)


def measured(
    run: Run, task: PromptedTask, studies: Sequence[Path], output: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """The figures of a run, and the checksums of its answers."""
    output.mkdir()
    jobs = plan(studies, output, "labels")
    started, before, outcomes, first = time.monotonic(), time.process_time(), list[Outcome](), 0.0
    with WorkerWatch() as watch:
        for outcome in predict_on(run.engine, task, jobs, output, None):
            first = first or time.monotonic() - started
            outcomes.append(outcome)
            if run.kills and len(outcomes) == len(jobs) // 3:
                os.kill(watch.workers()[0].pid, signal.SIGKILL)
    seconds = time.monotonic() - started
    worked = sum(watch.seconds.values()) if run.engine.name == "ray" else time.process_time() - before
    figures = {
        "answered": _counts(outcomes, jobs),
        "seconds": round(seconds, 1),
        "seconds until the first answer": round(first, 1),
        "studies per second": round(len(jobs) / seconds, 3),
        "processor seconds": round(worked, 1),
        "processors busy": round(worked / seconds, 2),
        "MiB of each worker after a quarter and at the end": watch.growth(),
        "load": round(os.getloadavg()[0], 1),
    }
    return figures, {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in output.glob("*.nii.gz")}


def gains(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, float]:
    """How many times the studies per second of a run another reaches, in all and after the first answer."""
    after = [run["seconds"] - run["seconds until the first answer"] for run in (one, two)]
    return {
        "in all": round(one["seconds"] / two["seconds"], 2),
        "after the first answer": round(after[0] / after[1], 2),
    }


def _counts(outcomes: Sequence[Outcome], jobs: Sequence[Job]) -> dict[str, int]:
    counts = Counter(outcome.job.query.name for outcome in outcomes if outcome.error is None)
    return {
        "studies": len(jobs),
        "answered once": sum(count == 1 for count in counts.values()),
        "answered twice": sum(count > 1 for count in counts.values()),
        "lost": len(jobs) - len(counts),
    }


def main(count: int = 200) -> None:
    """All runs, one after the other."""
    predictor, results, first = load("tiny", "cpu"), {}, dict[str, str]()
    images, labels = zip(*(_study(10_000 + number) for number in range(2)), strict=True)
    task = predictor.prompt(images, labels, "segmentation", PredictionOptions(zoom="off", num_prompts=2))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        studies = make_studies(folder, count)
        for number, run in enumerate(_RUNS):
            figures, checksums = measured(run, task, studies, folder / f"run{number}")
            first = first or checksums
            results[run.title] = {**figures, "same answers": checksums == first}
            sys.stdout.write(f"{run.title}: {json.dumps(results[run.title])}\n")
            sys.stdout.flush()
    about = provenance(f"python -m profiling.engines {count}", 0)
    content = {
        "provenance": about,
        "runs": results,
        "two workers by one": gains(results["one worker"], results["two workers"]),
    }
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
