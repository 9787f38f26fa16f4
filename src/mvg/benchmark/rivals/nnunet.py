"""nnU-Net: the real program, run by its commands in an environment of its own, in its 2D configuration.

It plans, trains and predicts by itself, from the "train" slices in its raw format:

    FOLDER/raw/Dataset001_mvg/{imagesTr,labelsTr}/    a volume per case: stored slices, raw intensities, 1..K labels
    FOLDER/preprocessed/ results/                     its own files
    FOLDER/epochs.json trained.json                   the epochs that fit the budget; written when training is over

Its commands take no seed: two trainings differ.
"""

import json
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvg.benchmark.protocol.method import Request, Scope, TrainingData
from mvg.benchmark.rivals._nnunet_program import (
    DATASET,
    NnUNetProgram,
    classes_of,
    label_numbers,
    write_description,
    write_volume,
)
from mvg.benchmark.rivals._slices import training_slices
from mvg.benchmark.rivals._specialist import usual_plane
from mvg.benchmark.rivals._supervised import output_labels
from mvg.data.store import SliceRow, StoredSet
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.imaging.window import Window, guess_modality
from mvg.prediction.inference.query_volume import smallest_integers
from mvg.tasks import Task

SCOPE: Scope = "specialist"
USES_PROMPTS = False
_STEPS = 250  # of an epoch
_EPOCHS = (1, 5, 10, 20, 50, 100, 250, 500, 750, 1000, 2000, 4000, 8000)  # lengths of training that it offers


@dataclass(frozen=True)
class Options:
    """python: the interpreter of the environment with nnunetv2 ("": the one that runs mvg).

    epochs: the length of training, one of those that it offers; 0 takes the longest that fits into the budget, but at
    least one epoch (a budget in minutes is divided by the time of a first epoch).
    """

    python: str = ""
    epochs: int = 0


def serves(task: Task) -> bool:
    """Label maps, from one channel of the set."""
    return task.spec.target_type == "labels"


def check(options: Options) -> None:
    """BenchmarkError if nnU-Net's commands are missing."""
    NnUNetProgram(options.python, Path(), "cpu").check()


def fit(options: Options, data: TrainingData) -> "NnUNet":
    """Plan and train; interrupted training continues, finished training is only loaded."""
    program = NnUNetProgram(options.python, data.folder, data.device)
    program.check()
    (task,) = data.tasks
    stored, rows = training_slices(data)
    finished = data.folder / "trained.json"
    if not finished.exists():
        names = _write_cases(program.raw, stored, rows, task)
        program.preprocess()
        preprocessed = data.folder / "preprocessed" / DATASET
        # It trains on all cases; one case is enough for its mandatory validation.
        (preprocessed / "splits_final.json").write_text(json.dumps([{"train": names, "val": names[:1]}]))
        epochs = options.epochs or _affordable(data, program)
        _train(program, epochs)
        finished.write_text(json.dumps({"epochs": epochs}))
    return NnUNet(task, program, usual_plane(rows), int(json.loads(finished.read_text())["epochs"]))


@dataclass(frozen=True, eq=False)
class NnUNet:
    """Trained nnU-Net; each prediction starts its program, which takes some seconds."""

    task: Task
    program: NnUNetProgram
    plane: Plane
    epochs: int

    @property
    def steps(self) -> int:
        """The number of training steps."""
        return _STEPS * self.epochs

    def __call__(self, request: Request) -> Volume | LabelMap:
        """Labels on the query's own grid."""
        query = request.query
        plane = query.cut_along(self.plane)
        modality = request.modality or guess_modality(query.voxels)
        # Training slices were clipped to the window in which they are stored.
        window = Window.named("full") if self.task.card.units == "HU" else Window.fit(query.voxels, modality)
        pictures = np.clip(query.pictures(plane), window.low, window.high)
        classes = classes_of(self._run_prediction, pictures, query.pixel_spacing(plane))
        values = smallest_integers(output_labels(self.task)[1:])
        return query.from_pictures(values[classes], plane)

    def _run_prediction(self, inputs: Path, outputs: Path) -> None:
        self.program.run(
            "predict", "-i", str(inputs), "-o", str(outputs), "-d", "1", "-c", "2d", "-f", "0", "-tr",
            _trainer(self.epochs), "-npp", "1", "-nps", "1", "-device", self.program.kind,
        )  # fmt: skip


def _train(program: NnUNetProgram, epochs: int) -> None:
    """Train, or continue to train, for that many epochs."""
    program.run("train", "1", "2d", "0", "-tr", _trainer(epochs), "--c", "-device", program.kind)


def _affordable(data: TrainingData, program: NnUNetProgram) -> int:
    """The epochs of the longest training within the budget, at least one; a continued training keeps the number."""
    budget, file = data.budget, data.folder / "epochs.json"
    if file.exists():
        return int(json.loads(file.read_text()))
    if budget.minutes > 0:
        shutil.rmtree(data.folder / "results", ignore_errors=True)  # else an interrupted epoch would be measured
        started = time.monotonic()
        _train(program, 1)
        limit = 60 * budget.minutes / (time.monotonic() - started) - 1
    else:
        plans = json.loads((data.folder / "preprocessed" / DATASET / "nnUNetPlans.json").read_text())
        limit = budget.samples / (_STEPS * plans["configurations"]["2d"]["batch_size"])
    epochs = max([length for length in _EPOCHS if length <= limit], default=1)
    file.write_text(json.dumps(epochs))
    return epochs


def _trainer(epochs: int) -> str:
    """The trainer's name for that length of training."""
    return "nnUNetTrainer" if epochs == 1000 else f"nnUNetTrainer_{epochs}epoch{'s' if epochs > 1 else ''}"


def _write_cases(folder: Path, stored: StoredSet, rows: list[SliceRow], task: Task) -> list[str]:
    """The training cases in its raw format; returns their names."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    values, names = output_labels(task), []
    for name, case_rows in _cases(rows):
        images, labels = zip(*(_pair(stored, row, task) for row in case_rows), strict=True)
        write_volume(folder / f"imagesTr/{name}_0000.nii.gz", np.stack(images), case_rows[0].spacing)
        numbers = np.searchsorted(values, np.stack(labels)).astype(np.uint8)
        write_volume(folder / f"labelsTr/{name}.nii.gz", numbers, case_rows[0].spacing)
        names.append(name)
    write_description(folder, task, label_numbers(values), len(names))
    return names


def _cases(rows: list[SliceRow]) -> Iterator[tuple[str, list[SliceRow]]]:
    by_case: dict[str, list[SliceRow]] = defaultdict(list)
    for row in rows:
        by_case[row.case].append(row)
    for number, case_rows in enumerate(by_case.values()):
        yield f"case{number:04d}", case_rows


def _pair(stored: StoredSet, row: SliceRow, task: Task) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A slice in raw intensities and its labels (rows, cols), without the padding of the store."""
    stored_slice = stored[row.number]
    _, labels = task.pair(stored_slice, np.random.default_rng(0))
    return stored_slice.raw(task.channel)[row.box.index], labels[row.box.index]
