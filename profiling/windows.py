"""What is recognized in real images: CT with and without an offset, MR that is none, and the window of each CT label.

    python -m profiling.windows FOLDER... --output profiling/results/windows.json

FOLDER: data sets in nnU-Net's layout; those whose card says HU are CT. One image of each patient is read, up to
`--patients` of each set.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mvg.benchmark.provenance import provenance
from mvg.data.case import Case, DataSet
from mvg.data.case_labels import read_case_labels
from mvg.data.sets.nnunet import open as open_folder
from mvg.errors import MvgError
from mvg.imaging.files import read_gray
from mvg.imaging.intensity import finite_sample, has_offset_structure, hounsfield_offset
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window, guess_modality
from mvg.prediction.prompts.ct_window import choose_ct_window

_OFFSETS = (0, 1000, 1024)
_SCALES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)  # of 8 bits, up to 12 bits
_NAMES = {Window.named(name): name for name in ("soft tissue", "lung", "bone", "brain", "full")}


def main() -> None:
    """Runs the program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--patients", type=int, default=6)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    sets = {folder.name: facts for folder in options.folders if (facts := set_facts(folder, options.patients))}
    command = f"python -m profiling.windows {' '.join(folder.name for folder in options.folders)}"
    result = {"provenance": provenance(command, 0), "sets": sets}
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(sets, indent=1) + "\n")


def set_facts(folder: Path, patients: int) -> dict[str, Any]:
    """What is recognized in the images of a set; empty for a folder that is no data set."""
    try:
        data = open_folder(folder)
    except MvgError:
        return {}
    cases = list({case.patient: case for case in data.cases}.values())[:patients]
    images = [read_gray(case.images[0]) for case in cases]
    if data.card.units == "HU":
        return {"images": len(images), "CT with an offset of": _recognized(images)} | _windows(data, cases)
    alike = sum(has_offset_structure(finite_sample(image.voxels * scale)) for image in images for scale in _SCALES)
    taken = sum(guess_modality(image.voxels) == "CT" for image in images)
    tried = len(images) * len(_SCALES)
    return {"images": len(images), "taken for CT": taken, f"like CT with an offset, of {tried} scales": alike}


def _recognized(images: list[Volume]) -> dict[str, dict[str, int]]:
    """For each offset how often the modality is guessed, and how often the offset is found where CT is stated."""
    counts = {}
    for offset in _OFFSETS:
        stored = [np.maximum(image.voxels + offset, 0) if offset else image.voxels for image in images]
        guessed = sum(guess_modality(voxels) == "CT" for voxels in stored)
        matches = sum(hounsfield_offset(finite_sample(voxels)) == (offset or 0) for voxels in stored)
        counts[str(offset)] = {"guessed": guessed, "offset found where CT is stated": matches}
    return counts


def _windows(data: DataSet, cases: list[Case]) -> dict[str, Any]:
    """The window for each label alone, over all cases, and for all labels together."""
    labeled = [case for case in cases if case.labels is not None]
    if not labeled:
        return {}
    windows = {"all labels": _window(data, labeled, None)}
    windows |= {name: _window(data, labeled, value) for value, name in data.card.labels.items()}
    return {"windows": windows}


def _window(data: DataSet, cases: list[Case], value: int | None) -> str:
    def pairs() -> Iterator[tuple[Volume, LabelMap, float]]:
        for case in cases:
            labels = read_case_labels(case, data.card)
            voxels = np.maximum(labels.voxels, 0) if value is None else (labels.voxels == value).astype(np.uint8)
            yield read_gray(case.images[0]), LabelMap(voxels, labels.affine, labels.header), 0.0

    return _NAMES[choose_ct_window(pairs())]


if __name__ == "__main__":
    main()
