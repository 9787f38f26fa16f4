"""Measures registration beside the identity, an affine map, demons and B-splines.

python -m profiling.registration FOLDER/acdc FOLDER/oasis --output FILE.jsonl [--pictures FOLDER]

Every method runs on one thread. The first line of the file names command, commit and hardware; each further line holds
a method's mean Dice over the labels of a pair, the share of folded voxels, and the seconds of processor time. What uses
random numbers has the seed 0.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch

from mvg.benchmark.provenance import provenance
from mvg.benchmark.rivals import _simpleitk
from mvg.imaging.displacement import DisplacementField
from mvg.imaging.volume import Volume
from mvg.prediction.registration.register import RegistrationOptions, register
from profiling.overlap import mean_dice
from profiling.registration.pairs import ImagePair, pairs_of
from profiling.registration.pictures import draw

Method = Callable[[Volume, Volume], DisplacementField]
OPTIONS = {
    "mvg, affine": RegistrationOptions(transform="affine"),
    "mvg, stiff": RegistrationOptions(transform="stiff"),
    "mvg": RegistrationOptions(),
}


def main() -> None:
    """Measure the chosen methods and print a line for each."""
    arguments = _parser().parse_args()
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    methods = {name: method for name, method in _methods().items() if name in arguments.methods}
    about = provenance(" ".join(["python -m profiling.registration", *sys.argv[1:]]), 0)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    means = defaultdict[tuple[str, str], list[tuple[float, float, float]]](list)
    with arguments.output.open("w", encoding="utf-8") as file:
        file.write(json.dumps(about) + "\n")
        sets = [pairs_of(folder, arguments.split, arguments.pairs) for folder in arguments.sets]
        for pair in (pair for turn in zip_longest(*sets) for pair in turn if pair is not None):
            for name, method in methods.items():
                picture = None if arguments.pictures is None else arguments.pictures / _title(pair, name)
                row = measured(pair, method, picture)
                file.write(json.dumps({"set": pair.data_set, "pair": _title(pair, ""), "method": name, **row}) + "\n")
                file.flush()
                means[pair.data_set, name].append((row["dice"], row["folded"], row["seconds"]))
    for (data_set, name), rows in means.items():
        dice, folded, seconds = np.mean(rows, axis=0)
        print(f"{data_set:<8} {name:<22} {len(rows)} pairs: Dice {dice:.3f}, {folded:.4%} folded, {seconds:.1f} s")


def measured(pair: ImagePair, method: Method, picture: Path | None) -> dict[str, float]:
    """The figures of a method for one pair; picture: a PNG file of the warped image beside the others."""
    moving, fixed = pair.images()
    start = time.process_time()
    field = method(moving, fixed)
    seconds = time.process_time() - start
    labels, truth = pair.labels()
    warped = field.warp_labels(labels)
    if picture is not None:
        draw((moving, labels), (fixed, truth), (field.warp(moving), warped), picture)
    dice = mean_dice(warped.voxels, truth.voxels, truth.values)
    return {"dice": dice, "folded": field.folded, "seconds": round(seconds, 2)}


def _methods() -> dict[str, Method]:
    def ours(options: RegistrationOptions) -> Method:
        return lambda moving, fixed: register(moving, fixed, options).field

    def identity(_: Volume, fixed: Volume) -> DisplacementField:
        return DisplacementField(np.zeros((*fixed.shape, 3), np.float32), fixed)

    itk = {"affine": _simpleitk.affine, "demons": _simpleitk.demons, "B-spline": _simpleitk.bspline}
    return {
        "identity": identity,
        **{f"SimpleITK, {name}": _simpleitk.aligned_by(method) for name, method in itk.items()},
        **{name: ours(options) for name, options in OPTIONS.items()},
    }


def _title(pair: ImagePair, method: str) -> str:
    names = f"{pair.moving.name} to {pair.fixed.name}"
    return f"{names}, {method}.png" if method else names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m profiling.registration", description=__doc__.splitlines()[0])
    names: Sequence[str] = ("identity", "SimpleITK, affine", "SimpleITK, demons", "SimpleITK, B-spline", *OPTIONS)
    parser.add_argument("sets", type=Path, nargs="+", help="sets in the nnU-Net raw layout, with labels")
    parser.add_argument("--output", type=Path, required=True, help="the result file")
    parser.add_argument("--split", choices=("train", "val"), default="val", help="of the patients")
    parser.add_argument("--pairs", type=int, default=24, help="pairs of each set, at most")
    parser.add_argument("--methods", nargs="+", choices=names, default=names, help="what is measured")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each pair and method")
    return parser


if __name__ == "__main__":
    main()
