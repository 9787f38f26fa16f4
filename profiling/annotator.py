"""Plays a newcomer who labels a folder of real volumes in the workbench, and measures what it costs and gives.

python -m profiling.annotator SET [SET ...] --output FILE.json [--volumes 20] [--slices 5] [--untouched 7] [--seed 0]
    [--browser]

SET is a folder in the nnU-Net raw layout. `SET:8:3` takes 8 volumes of it, of which 3 are never painted, in place of
`--volumes` and `--untouched`. Its images are served without their labels; an annotator knows the true
labels and paints them whole, only in slices that the server names as uncertain, at most `--slices` in a volume. Of the
first volume, for which nothing is predicted yet, the first slice is that with the largest labeled area. Each accepted
volume becomes an example. All others are predicted again when the number of examples has doubled, and the one with the
worst estimate is next. The `--untouched` volumes that are left in the end are accepted as they are predicted.

With `--browser` everything is done in the page, in Chromium, with mouse and keys, and labels are outlined freehand.
Else the client does it, and slices are painted to the pixel.

One volume of each patient is taken, those of patients that the weights were not trained on first; the file says of each
volume on which side it is.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from mvg_client import Workbench

from mvg.benchmark.provenance import provenance
from mvg.data import DataSet, open_folder
from mvg.imaging.files import read_labels
from mvg.server.ras import RasGrid
from profiling.annotator_hands import ClientHands, Hands, Labels, browser_hands
from profiling.overlap import dice_of, mean_dice
from profiling.serving import Served, serving
from profiling.validation_cases import one_of_each_patient


@dataclass(frozen=True)
class Plan:
    """How a folder is labeled: volumes, painted slices of each, and how many are never painted."""

    volumes: int = 20
    slices: int = 5
    untouched: int = 7
    seed: int = 0
    weights: str = "tiny"
    browser: bool = False


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
    is accepted; processor_seconds: of the server, without those of predictions of all volumes; open_dice: of the slices
    that were not painted; painted_dice: of the others, how well the outlines were drawn.
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
    painted_dice: float | None = None

    @property
    def mean_dice(self) -> float:
        """Over the labels."""
        return float(np.mean(list(self.dice.values())))


class Annotator:
    """Labels the studies of a server."""

    def __init__(self, server: Served, bench: Workbench, hands: Hands, names: Sequence[str], truths: dict[str, Truth]):
        """names: of the labels, in the order of class numbers; truths: by study."""
        self._server, self._bench, self._hands, self._names, self._truths = server, bench, hands, names, truths
        self._numbers = range(1, len(names) + 1)
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
            if not waiting:
                break
            if _is_power_of_two(len(efforts)) or len(waiting) == plan.untouched:
                batches.append(self._predict_all(waiting))
            following = self._worst(waiting)
        efforts += [self.label(study, 0) for study in waiting]
        return {"volumes": efforts, "batches": batches}

    def label(self, study: str, most: int) -> Effort:
        """Label one study and accept it as an example."""
        truth, start, hands = self._truths[study], time.perf_counter(), self._hands
        effort, before, clicks = Effort(truth.case, truth.side), self._server.processor_seconds, hands.clicks
        hands.open(self._task, self._studies[study])
        for _ in range(most):
            self._paint(truth.numbers, effort)
        facts, labels = hands.facts(), hands.labels()
        hands.accept()
        effort.clicks = hands.clicks - clicks
        effort.processor_seconds = round(self._server.processor_seconds - before, 2)
        effort.wall_seconds = round(time.perf_counter() - start, 2)
        effort.estimate = facts["quality"]
        scores = dice_of(labels, truth.numbers, self._numbers)
        effort.dice = {name: round(scores[number], 4) for number, name in zip(self._numbers, self._names, strict=True)}
        axis, painted = int(facts["plane"]), sorted(set(effort.painted))
        effort.open_dice = self._mean_dice(np.delete(labels, painted, axis), np.delete(truth.numbers, painted, axis))
        if painted:
            effort.painted_dice = self._mean_dice(labels.take(painted, axis), truth.numbers.take(painted, axis))
        print(f"{effort.case} ({effort.side}) {len(effort.painted)} painted, Dice {effort.mean_dice:.3f}, estimated "
              f"{effort.estimate}, {effort.processor_seconds} s", flush=True)  # fmt: skip
        return effort

    def _paint(self, truth: Labels, effort: Effort) -> None:
        """Paint the slice that is worth it most, and let the others be predicted."""
        facts = self._hands.facts()
        axis = int(facts["plane"])
        if facts["has_prediction"]:
            index = self._hands.next_uncertain()
            if index is None:
                return
        else:
            others = tuple(other for other in range(3) if other != axis)
            index = int((truth > 0).sum(axis=others).argmax())
        self._hands.paint(axis, index, truth.take(index, axis))
        effort.painted.append(index)
        self._hands.predict()

    def _predict_all(self, waiting: Sequence[str]) -> float:
        before = self._server.processor_seconds
        self._hands.predict_all(self._task, [self._studies[study] for study in waiting])
        return round(self._server.processor_seconds - before, 1)

    def _worst(self, waiting: Sequence[str]) -> str:
        rows = self._bench.studies(self._task, sort="quality")
        return next(row["id"] for row in rows if row["id"] in waiting)

    def _mean_dice(self, predicted: Labels, truth: Labels) -> float:
        """The mean over the labels."""
        return round(mean_dice(predicted, truth, self._numbers), 4)


def main() -> None:
    """Play, print and write the result file. Needs Linux, for processor time."""
    parser = argparse.ArgumentParser(prog="python -m profiling.annotator", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", nargs="+", metavar="SET")
    parser.add_argument("--output", type=Path)
    for name, value in asdict(Plan()).items():
        kind = {"action": "store_true"} if name == "browser" else {"type": type(value), "default": value}
        parser.add_argument(f"--{name}", **kind)
    arguments = vars(parser.parse_args())
    sets, output = arguments.pop("sets"), arguments.pop("output")
    result = measure(sets, Plan(**arguments))
    print(json.dumps(result["summary"], indent=1))
    if output is not None:
        output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(sets: Sequence[str], plan: Plan) -> dict[str, Any]:
    """Play on volumes of sets, one after the other; the content of a result file."""
    header = provenance(" ".join(["python -m profiling.annotator", *sys.argv[1:]]), plan.seed)
    played = [_played(*_set_and_plan(text, plan)) for text in sets]
    volumes = [one for part in played for one in part["volumes"]]
    batches = [seconds for part in played for seconds in part["batches"]]
    summary = {**_summary(volumes, batches), "peak_memory_mib": max(part["peak_memory_mib"] for part in played)}
    rows = [{**asdict(one), "mean_dice": round(one.mean_dice, 4)} for one in volumes]
    return {"provenance": header, "sets": list(sets), "plan": asdict(plan), "summary": summary, "volumes": rows}


def _set_and_plan(text: str, plan: Plan) -> tuple[Path, Plan]:
    """The folder of a set, and the plan with the numbers that are named for it."""
    folder, *numbers = text.split(":")
    names = ("volumes", "untouched")
    return Path(folder), replace(plan, **{name: int(n) for name, n in zip(names, numbers, strict=False)})


def _played(folder: Path, plan: Plan) -> dict[str, Any]:
    """Play on volumes of one set, with a server of its own."""
    data_set = open_folder(folder)
    with tempfile.TemporaryDirectory(prefix="mvg-") as temporary:
        served = Path(temporary) / "scans"
        served.mkdir()
        truths = {truth.case: truth for truth in _chosen(data_set, plan, served)}
        with serving(served, plan.weights) as server, Workbench(server.address) as bench:
            server.wait_for_scan()
            by_study = {study["id"]: truths[study["name"].removesuffix(".nii.gz")] for study in bench.studies()}
            with _hands(bench, server, plan) as hands:
                played = Annotator(server, bench, hands, tuple(data_set.card.labels.values()), by_study).play(plan)
            return {**played, "peak_memory_mib": server.peak_mib}


@contextmanager
def _hands(bench: Workbench, server: Served, plan: Plan) -> Iterator[Hands]:
    """What labels the studies. Raises RuntimeError where there is no Chromium for `--browser`."""
    if not plan.browser:
        yield ClientHands(bench)
        return
    with browser_hands(bench, server.address) as hands:
        yield hands


def _chosen(data_set: DataSet, plan: Plan, served: Path) -> Iterator[Truth]:
    """The volumes, those of patients first that the weights do not know; their images are put into `served`."""
    for case in one_of_each_patient(data_set, plan.seed)[: plan.volumes]:
        shutil.copyfile(case.images[0], served / f"{case.name}.nii.gz")
        assert isinstance(case.labels, Path), "in one file"
        labels = read_labels(case.labels)
        numbers = sum((n * (labels.voxels == value) for n, value in enumerate(data_set.card.labels, 1)), np.uint8(0))
        grid = RasGrid(labels.shape, labels.affine)
        yield Truth(case.name, case.split, grid.to_ras(np.asarray(numbers, np.uint8)))


def _summary(volumes: Sequence[Effort], batches: Sequence[float]) -> dict[str, Any]:
    painted = [one for one in volumes if one.painted]
    untouched = [one for one in volumes if not one.painted]
    unknown = [one for one in volumes if one.side == "val"]
    seconds = sum(one.processor_seconds for one in volumes) + sum(batches)
    return {
        "mean_dice": _mean(one.mean_dice for one in volumes),
        "mean_dice_painted": _mean(one.mean_dice for one in painted),
        "mean_open_dice_painted": _mean(one.open_dice for one in painted),
        "mean_painted_dice": _mean(one.painted_dice for one in painted),
        "mean_dice_untouched": _mean(one.mean_dice for one in untouched),
        "mean_dice_of_patients_not_trained_on": _mean(one.mean_dice for one in unknown),
        "patients_not_trained_on": len(unknown),
        "mean_estimate_painted": _mean(one.estimate for one in painted),
        "mean_estimate_untouched": _mean(one.estimate for one in untouched),
        "painted_slices": sum(len(one.painted) for one in volumes),
        "clicks": sum(one.clicks for one in volumes) + len(batches),
        "wall_seconds": round(sum(one.wall_seconds for one in volumes)),
        "processor_seconds": round(seconds, 1),
        "processor_seconds_each": round(seconds / len(volumes), 1),
        "batch_processor_seconds": batches,
    }  # fmt: skip


def _mean(values: Iterator[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) if known else None


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


if __name__ == "__main__":
    main()
