"""Measures how many pixels are wrong where a session says that so many are likely wrong.

python -m profiling.doubts FOLDER --output FILE.json [--sets acdc hippocampus] [--volumes 4] [--slices 5]

FOLDER holds sets in the nnU-Net raw layout. Volumes are those of patients that the weights were not trained on. The
true labels of the slices that `uncertain` names are given one after the other; the first is that with the largest
labeled area. After each, the file has a row with the doubted and the wrong pixels of the open slices, the Dice to
expect, and the mean Dice over the labels in the whole volume.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import mvg
from mvg.benchmark.provenance import provenance
from mvg.data import open_folder
from mvg.imaging.volume import LabelMap
from mvg.prediction.predictor import Predictor
from mvg.prediction.slice_plane import SlicePlane
from profiling.overlap import mean_dice

SETS = ("acdc", "chaos_mr", "hippocampus", "la", "oasis", "prostate_mr")


def main() -> None:
    """Measure, print and write the result file."""
    parser = argparse.ArgumentParser(prog="python -m profiling.doubts", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--volumes", type=int, default=4)
    parser.add_argument("--slices", type=int, default=5)
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows = list[dict[str, Any]]()
    predictor = mvg.load(arguments.weights)
    for name in arguments.sets:
        for image, labels in _volumes(arguments.folder / name, arguments.volumes):
            for row in measured(predictor, image, labels, arguments.slices):
                rows.append({"set": name, "case": labels.name, **row})
                print(json.dumps(rows[-1]), flush=True)
    result = {"provenance": provenance(" ".join(["python -m profiling.doubts", *sys.argv[1:]]), 0)}
    result |= {"summary": summary(rows), "rows": rows}
    print(json.dumps(result["summary"], indent=1))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measured(predictor: Predictor, image: Path, path: Path, slices: int) -> Iterator[dict[str, Any]]:
    """A row for each slice that is given."""
    truth = mvg.read_labels(path)
    session = predictor.open(mvg.read(image), labels=list(truth.values))
    cut = SlicePlane(session.volume, session.plane)
    index = int((np.moveaxis(truth.voxels, cut.axis, 0) > 0).sum(axis=(1, 2)).argmax())
    for count in range(1, slices + 1):
        session.correct(index, truth.voxels.take(index, cut.axis))
        prediction, doubts = session.predict().volume, session.doubts()
        assert isinstance(prediction, LabelMap)
        wrong = prediction.voxels != truth.voxels
        yield {
            "slices": count, "doubted": round(sum(doubts.values()), 1), "wrong": int(wrong.sum()),
            "expected_dice": round(session.quality().mean, 4),
            "dice": round(mean_dice(prediction.voxels, truth.voxels, truth.values), 4),
        }  # fmt: skip
        chosen = session.uncertain(1)
        if not chosen:
            return
        index = chosen[0]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By set and number of slices: wrong over doubted pixels, expected and true Dice."""
    groups = defaultdict[tuple[str, int], list[dict[str, Any]]](list)
    for row in rows:
        groups[row["set"], row["slices"]].append(row)
    return {
        f"{name}, {slices}": {
            "wrong_per_doubted": round(sum(r["wrong"] for r in group) / sum(r["doubted"] for r in group), 2),
            "expected_dice": round(float(np.mean([r["expected_dice"] for r in group])), 3),
            "dice": round(float(np.mean([r["dice"] for r in group])), 3),
        }
        for (name, slices), group in groups.items()
    }  # fmt: skip


def _volumes(folder: Path, count: int) -> Iterator[tuple[Path, Path]]:
    for case in open_folder(folder).of_split("val").cases[:count]:
        assert isinstance(case.labels, Path), "in one file"
        yield case.images[0], case.labels


if __name__ == "__main__":
    main()
