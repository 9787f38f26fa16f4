"""Plays a newcomer who labels a folder of real volumes in the workbench, and measures what it costs and gives.

python -m profiling.annotator SET --output FILE.json [--volumes 20] [--slices 5] [--untouched 7] [--seed 0]

SET is a folder in the nnU-Net raw layout. Its images are served without their labels; an annotator knows the true
labels and paints them whole, only in slices that the server names as uncertain, at most `--slices` in a volume. Of the
first volume, for which nothing is predicted yet, the first slice is that with the largest labeled area. Each accepted
volume becomes an example. All others are predicted again when the number of examples has doubled, and the one with the
worst estimate is next. The `--untouched` volumes that are left in the end are accepted as they are predicted.

One volume of each patient is taken, those of patients that the weights were not trained on first; the file says of each
volume on which side it is.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mvg_client import Session, Workbench
from numpy.typing import NDArray
from scipy import ndimage

from mvg.benchmark.provenance import provenance
from mvg.data.case import split_of
from mvg.imaging.files import read_labels
from mvg.server.ras import RasGrid
from profiling.serving import Served, serving

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Plan:
    """How a folder is labeled: volumes, painted slices of each, and how many are never painted."""

    volumes: int = 20
    slices: int = 5
    untouched: int = 7
    seed: int = 0
    weights: str = "tiny"


@dataclass(frozen=True)
class Truth:
    """What the annotator knows: the name of a case, its side of the split, class numbers (x, y, z) in RAS order."""

    case: str
    side: str
    numbers: Labels


@dataclass
class Effort:
    """What a volume cost and gave.

    clicks: buttons and keys pressed, and outlines drawn; estimate: of the Dice, as the page states it when the volume
    is accepted; processor_seconds: of the server, without those of predictions of all volumes.
    """

    case: str
    side: str
    painted: list[int] = field(default_factory=list)
    clicks: int = 0
    processor_seconds: float = 0.0
    wall_seconds: float = 0.0
    estimate: float | None = None
    dice: dict[str, float] = field(default_factory=dict)
    open_dice: float | None = None

    @property
    def mean_dice(self) -> float:
        """Over the labels."""
        return float(np.mean(list(self.dice.values())))


class Annotator:
    """Labels the studies of a server."""

    def __init__(self, server: Served, bench: Workbench, names: Sequence[str], truths: dict[str, Truth]) -> None:
        """names: of the labels, in the order of class numbers; truths: by study."""
        self._server, self._bench, self._names, self._truths = server, bench, names, truths
        self._task = bench.create_task("judged", labels=list(names))
        self._studies = {study["id"]: study for study in bench.studies()}

    def play(self, plan: Plan) -> dict[str, Any]:
        """Label all studies; the efforts of each, and what predicting all of them took."""
        efforts, batches = list[Effort](), list[float]()
        waiting = sorted(self._truths)
        following = waiting[plan.seed % len(waiting)]
        while len(waiting) > plan.untouched:
            efforts.append(self.label(following, plan.slices))
            waiting.remove(following)
            if _is_power_of_two(len(efforts)) or len(waiting) == plan.untouched:
                batches.append(self._predict_all(waiting))
            following = self._worst(waiting)
        efforts += [self.label(study, 0) for study in waiting]
        return {"volumes": efforts, "batch_processor_seconds": batches}

    def label(self, study: str, most: int) -> Effort:
        """Label one study and accept it as an example."""
        truth, start = self._truths[study], time.perf_counter()
        effort, before = Effort(truth.case, truth.side, clicks=1), self._server.processor_seconds
        session = self._bench.open(self._task, self._studies[study])
        for _ in range(most):
            self._paint(session, truth.numbers, effort)
        facts, labels = session.facts(), session.labels()
        session.finish(example=True)
        session.close()
        effort.clicks += 1
        effort.processor_seconds = round(self._server.processor_seconds - before, 2)
        effort.wall_seconds = round(time.perf_counter() - start, 2)
        effort.estimate = facts["quality"]
        effort.dice = {name: _dice(labels == n, truth.numbers == n) for n, name in enumerate(self._names, 1)}
        effort.open_dice = self._open_dice(labels, truth.numbers, facts["plane"], effort.painted)
        print(f"{effort.case} ({effort.side}) {len(effort.painted)} painted, Dice {effort.mean_dice:.3f}, estimated "
              f"{effort.estimate}, {effort.processor_seconds} s", flush=True)  # fmt: skip
        return effort

    def _paint(self, session: Session, truth: Labels, effort: Effort) -> None:
        """Paint the slice that is worth it most, and let the others be predicted."""
        facts = session.facts()
        axis = int(facts["plane"])
        if facts["has_prediction"]:
            axis, slices = session.uncertain(1)
            if not slices:
                return
            index = slices[0]
            effort.clicks += 1
        else:
            others = tuple(other for other in range(3) if other != axis)
            index = int((truth > 0).sum(axis=others).argmax())
        numbers = truth.take(index, axis)
        session.correct(axis, index, numbers)
        effort.painted.append(index)
        effort.clicks += _outlines(numbers) + 1
        for _ in session.predict():
            pass

    def _predict_all(self, waiting: Sequence[str]) -> float:
        before = self._server.processor_seconds
        facts = self._bench.predict_all(self._task, [self._studies[study] for study in waiting]).wait()
        if facts["failed"]:
            raise RuntimeError(f"{facts['failed'][0]['error']}")
        return round(self._server.processor_seconds - before, 1)

    def _worst(self, waiting: Sequence[str]) -> str:
        rows = self._bench.studies(self._task, sort="quality")
        return next(row["id"] for row in rows if row["id"] in waiting)

    def _open_dice(self, labels: Labels, truth: Labels, axis: int, painted: Sequence[int]) -> float:
        """The mean Dice over the labels in the slices that were not painted."""
        pairs = [np.delete(volume, painted, axis) for volume in (labels, truth)]
        scores = [_dice(pairs[0] == number, pairs[1] == number) for number in range(1, len(self._names) + 1)]
        return round(float(np.mean(scores)), 4)


def main() -> None:
    """Play, print and write the result file. Needs Linux, for processor time."""
    parser = argparse.ArgumentParser(prog="python -m profiling.annotator", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("set", type=Path)
    parser.add_argument("--output", type=Path)
    for name, value in asdict(Plan()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    arguments = vars(parser.parse_args())
    folder, output = arguments.pop("set"), arguments.pop("output")
    result = measure(folder, Plan(**arguments))
    print(json.dumps(result["summary"], indent=1))
    if output is not None:
        output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(folder: Path, plan: Plan) -> dict[str, Any]:
    """Play on volumes of a set; the content of a result file."""
    description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    labels = {name: value for name, value in description["labels"].items() if value}
    header = provenance(" ".join(["python -m profiling.annotator", *sys.argv[1:]]), plan.seed)
    with tempfile.TemporaryDirectory(prefix="mvg-") as temporary:
        served = Path(temporary) / "scans"
        served.mkdir()
        truths = {truth.case: truth for truth in _chosen(folder, description, plan, served)}
        with serving(served, plan.weights) as server, Workbench(server.address) as bench:
            server.wait_for_scan()
            by_study = {study["id"]: truths[study["name"].removesuffix(".nii.gz")] for study in bench.studies()}
            played = Annotator(server, bench, tuple(labels), by_study).play(plan)
            peak = server.peak_mib
    volumes: list[Effort] = played["volumes"]
    summary = {**_summary(volumes, played["batch_processor_seconds"]), "peak_memory_mib": peak}
    rows = [{**asdict(one), "mean_dice": round(one.mean_dice, 4)} for one in volumes]
    return {"provenance": header, "set": folder.name, **asdict(plan), "summary": summary, "volumes": rows}


def _chosen(folder: Path, description: dict[str, Any], plan: Plan, served: Path) -> Iterator[Truth]:
    """The volumes, those of patients first that the weights do not know; their images are put into `served`."""
    values = [value for value in description["labels"].values() if value]
    for case, patient in _cases(folder, description["patient"], plan.seed)[: plan.volumes]:
        shutil.copyfile(folder / "imagesTr" / f"{case}_0000.nii.gz", served / f"{case}.nii.gz")
        labels = read_labels(folder / "labelsTr" / f"{case}.nii.gz")
        numbers = sum((number * (labels.voxels == value) for number, value in enumerate(values, 1)), start=np.uint8(0))
        grid = RasGrid(labels.shape, labels.affine)
        yield Truth(case, split_of(patient), grid.to_ras(np.asarray(numbers, np.uint8)))


def _cases(folder: Path, pattern: str, seed: int) -> list[tuple[str, str]]:
    """Cases and their patients in random order, one of each patient, those first that were not trained on."""
    names = sorted(path.name.removesuffix(".nii.gz") for path in (folder / "labelsTr").glob("*.nii.gz"))
    by_patient = dict[str, str]()
    for number in np.random.default_rng(seed).permutation(len(names)):
        patient = re.match(pattern, names[number])
        if patient is not None:
            by_patient.setdefault(patient.group(), names[number])
    return sorted(
        ((case, patient) for patient, case in by_patient.items()), key=lambda one: split_of(one[1]) == "train"
    )


def _summary(volumes: Sequence[Effort], batches: Sequence[float]) -> dict[str, Any]:
    painted = [one for one in volumes if one.painted]
    untouched = [one for one in volumes if not one.painted]
    unknown = [one for one in volumes if one.side == "val"]
    seconds = sum(one.processor_seconds for one in volumes) + sum(batches)
    return {
        "mean_dice": _mean(one.mean_dice for one in volumes),
        "mean_dice_painted": _mean(one.mean_dice for one in painted),
        "mean_open_dice_painted": _mean(one.open_dice for one in painted),
        "mean_dice_untouched": _mean(one.mean_dice for one in untouched),
        "mean_dice_of_patients_not_trained_on": _mean(one.mean_dice for one in unknown),
        "patients_not_trained_on": len(unknown),
        "mean_estimate_painted": _mean(one.estimate for one in painted),
        "mean_estimate_untouched": _mean(one.estimate for one in untouched),
        "painted_slices": sum(len(one.painted) for one in volumes),
        "clicks": sum(one.clicks for one in volumes) + len(batches),
        "processor_seconds": round(seconds, 1),
        "processor_seconds_each": round(seconds / len(volumes), 1),
        "batch_processor_seconds": batches,
    }  # fmt: skip


def _mean(values: Iterator[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) if known else None


def _outlines(numbers: Labels) -> int:
    """How many outlines draw the labels of a slice, and keys that choose a label."""
    present = [number for number in np.unique(numbers).tolist() if number]
    return sum(ndimage.label(numbers == number)[1] + 1 for number in present)


def _dice(labels: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    total = int(labels.sum() + truth.sum())
    return round(2 * float((labels & truth).sum()) / total, 4) if total else 1.0


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


if __name__ == "__main__":
    main()
