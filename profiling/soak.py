"""Uses the workbench for a long time and measures its memory, threads and open files at intervals.

python -m profiling.soak --output FILE.json [--minutes 60] [--seed 0] [--weights tiny]

Rounds follow one another without a pause. Each opens a study, paints slices, has the volume predicted after each, asks
for uncertain slices, takes everything back, and fetches labels, an export and a thumbnail; every fifth closes the
session, and every tenth predicts two studies in a batch. The summary compares the memory in the last third of the time
with that in the third before it, and gives the growth in an hour by a line through both.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mvg_client import Session, Workbench

from mvg.benchmark.provenance import provenance
from profiling.serving import API, Served, serving
from profiling.workbench import make_studies

_SHAPE = (96, 96, 24)
_STUDIES = 6
_INTERVAL = 15.0  # seconds between two measurements


@dataclass(frozen=True)
class Sample:
    """What the server has at a moment."""

    minutes: float
    rounds: int
    memory_mib: int
    threads: int
    files: int

    @classmethod
    def of(cls, server: Served, start: float, rounds: int) -> "Sample":
        """Measure."""
        minutes = round((time.monotonic() - start) / 60, 2)
        return cls(minutes, rounds, server.memory_mib, server.threads, server.open_files)


def main() -> None:
    """Measure, print and write the result file. Needs Linux."""
    parser = argparse.ArgumentParser(prog="python -m profiling.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    header = provenance(" ".join(["python -m profiling.soak", *sys.argv[1:]]), arguments.seed)
    samples = measure(arguments.minutes, arguments.seed, arguments.weights)
    result = {"provenance": header, "summary": summary(samples), "samples": [vars(sample) for sample in samples]}
    print(json.dumps(result["summary"], indent=1))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(minutes: float, seed: int, weights: str) -> list[Sample]:
    """Use a server for so long; what it had at intervals."""
    rng, samples, rounds = np.random.default_rng(seed), list[Sample](), 0
    with tempfile.TemporaryDirectory(prefix="mvg-") as temporary:
        folder = Path(temporary) / "scans"
        make_studies(folder, _SHAPE, _STUDIES)
        with serving(folder, weights) as server, Workbench(server.address) as bench:
            server.wait_for_scan()
            user = _User(server, bench)
            start = time.monotonic()
            while time.monotonic() - start < 60 * minutes:
                user.round(rounds, rng)
                rounds += 1
                if not samples or time.monotonic() - start >= _INTERVAL * len(samples):
                    samples.append(Sample.of(server, start, rounds))
                    print(samples[-1], flush=True)
    return samples


def summary(samples: list[Sample]) -> dict[str, Any]:
    """Memory, threads and files in the second and the last third, and the growth between them."""
    end = samples[-1].minutes
    middle = [sample for sample in samples if end / 3 <= sample.minutes < 2 * end / 3]
    last = [sample for sample in samples if sample.minutes >= 2 * end / 3]
    settled = [*middle, *last]
    slope = np.polyfit([one.minutes for one in settled], [one.memory_mib for one in settled], 1)[0]
    return {
        "minutes": end, "rounds": samples[-1].rounds,
        "memory_mib": {"start": samples[0].memory_mib, "middle": _median(middle), "last": _median(last)},
        "highest_mib": {"middle": max(s.memory_mib for s in middle), "last": max(s.memory_mib for s in last)},
        "growth_mib_per_hour": round(60 * float(slope), 1),
        "threads": [min(s.threads for s in last), max(s.threads for s in last)],
        "files": [min(s.files for s in last), max(s.files for s in last)],
    }  # fmt: skip


class _User:
    """Works on the studies of a server, one after the other."""

    def __init__(self, server: Served, bench: Workbench) -> None:
        self._server, self._bench = server, bench
        studies = list(bench.studies())
        self._studies = [study for study in studies if not study["has_labels"]]
        self._task = bench.create_task("soak", labels=["first", "second"])
        bench.add_example(self._task, next(study for study in studies if study["has_labels"]))

    def round(self, number: int, rng: np.random.Generator) -> None:
        """Use everything once."""
        study = self._studies[number % len(self._studies)]
        session = self._bench.open(self._task, study)
        for index in rng.choice(_SHAPE[2], 2, replace=False).tolist():
            session.correct(2, index, rng.integers(0, 3, _SHAPE[:2]) * (rng.random(_SHAPE[:2]) > 0.5))
            self._predict(session)
        session.undo()
        session.redo()
        session.labels()
        for path in (f"sessions/{session.id}/export", f"studies/{study['id']}/thumbnail.png?task={self._task['id']}"):
            self._server.http.get(f"{API}/{path}").raise_for_status()
        session.undo()
        session.undo()
        if number % 5 == 4:
            session.close()
        if number % 10 == 9:
            self._bench.predict_all(self._task, self._studies[:2]).wait()

    @staticmethod
    def _predict(session: Session) -> None:
        for _ in session.predict():
            pass
        session.uncertain(3)


def _median(samples: list[Sample]) -> float:
    return float(np.median([sample.memory_mib for sample in samples]))


if __name__ == "__main__":
    main()
