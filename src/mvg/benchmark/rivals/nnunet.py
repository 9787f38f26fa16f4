"""nnU-Net: the real program, run by its commands in an environment of its own, in its 2D configuration.

It plans, trains and predicts by itself; what it gets are the lesson's "train" slices, in its raw format:

    FOLDER/raw/Dataset001_mvg/{imagesTr,labelsTr}/    a volume per case: stored slices, raw intensities, 1..K labels
    FOLDER/preprocessed/ results/                     what it writes
    FOLDER/epochs.json learnt.json                    how many epochs fit the budget; written once training is over

Slices are told to be 999 mm apart, its own way to say that they have nothing to do with one another. Its commands take
no seed: two lessons differ.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvg.benchmark.protocol.method import Request, Scope, TrainingData
from mvg.benchmark.rivals._specialist import usual_plane
from mvg.benchmark.rivals._supervised import labels_of, learnt_from
from mvg.data.store import SliceRow, StoredSet
from mvg.errors import BenchmarkError
from mvg.imaging.files import read_labels, write
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.imaging.window import Window, guess_modality
from mvg.prediction.inference.query_volume import smallest_integers
from mvg.tasks import Task

SCOPE: Scope = "specialist"
PROMPTED = False
_NAME = "Dataset001_mvg"
_EPOCH = 250  # steps of an epoch
_LENGTHS = (1, 5, 10, 20, 50, 100, 250, 500, 750, 1000, 2000, 4000, 8000)  # epochs that it offers
_APART = 999.0  # mm between slices


@dataclass(frozen=True)
class Settings:
    """python: the interpreter of the environment that nnunetv2 is installed in ("": the one that runs mvg).

    epochs: how long it trains, one of the lengths that it offers; 0 takes the longest that fits into the budget (told
    from a first epoch, where that is in minutes; never less than one).
    """

    python: str = ""
    epochs: int = 0


def serves(task: Task) -> bool:
    """Labels alone."""
    return task.spec.target_type == "labels"


def check(settings: Settings) -> None:
    """BenchmarkError where nnU-Net's commands are missing."""
    _Program(_interpreter(settings), Path(), "cpu").check()


def learn(settings: Settings, lesson: TrainingData) -> "NnUNet":
    """Plan and train; a lesson that was cut goes on, one that is over is read back."""
    program = _Program(_interpreter(settings), lesson.folder, lesson.device)
    program.check()
    (task,) = lesson.tasks
    stored, rows = learnt_from(lesson)
    told = lesson.folder / "learnt.json"
    if not told.exists():
        names = _write_cases(lesson.folder / "raw" / _NAME, stored, rows, task)
        program.run("plan_and_preprocess", "-d", "1", "-c", "2d", "-npfp", "1", "-np", "1")
        preprocessed = lesson.folder / "preprocessed" / _NAME
        # It learns from all; one case is enough for the validation that it insists on.
        (preprocessed / "splits_final.json").write_text(json.dumps([{"train": names, "val": names[:1]}]))
        epochs = settings.epochs or _affordable(lesson, program)
        program.train(epochs)
        told.write_text(json.dumps({"epochs": epochs}))
    return NnUNet(task, program, usual_plane(rows), int(json.loads(told.read_text())["epochs"]))


@dataclass(frozen=True, eq=False)
class NnUNet:
    """nnU-Net after its lesson; each answer starts its program, which takes some seconds."""

    task: Task
    program: "_Program"
    plane: Plane
    epochs: int

    @property
    def steps(self) -> int:
        """Steps that it learnt for."""
        return _EPOCH * self.epochs

    def __call__(self, request: Request) -> Volume | LabelMap:
        """Labels on the query's own grid; resampling is nnU-Net's."""
        query = request.query
        plane = query.cut_along(self.plane)
        modality = request.modality or guess_modality(query.voxels)
        # As stored slices are: clipped to the window that they are kept in.
        window = Window.named("full") if self.task.card.units == "HU" else Window.fit(query.voxels, modality)
        pictures = np.clip(query.pictures(plane), window.low, window.high)
        with tempfile.TemporaryDirectory() as folder:
            asked, said = Path(folder) / "asked", Path(folder) / "said"
            asked.mkdir()
            _write_volume(asked / "query_0000.nii.gz", pictures, query.pixel_spacing(plane))
            self.program.run(
                "predict", "-i", str(asked), "-o", str(said), "-d", "1", "-c", "2d", "-f", "0", "-tr",
                _trainer(self.epochs), "-npp", "1", "-nps", "1", "-device", self.program.kind,
            )  # fmt: skip
            numbers = read_labels(said / "query.nii.gz").pictures("axial")
        values = smallest_integers(labels_of(self.task)[1:])
        return query.from_pictures(values[numbers], plane)


def _interpreter(settings: Settings) -> Path:
    return Path(settings.python or sys.executable).expanduser()


@dataclass(frozen=True)
class _Program:
    """The commands beside an interpreter, and the folder that they work in."""

    python: Path
    folder: Path
    device: str

    @property
    def kind(self) -> str:
        """The device as the commands name it."""
        return self.device.split(":", 1)[0]

    def check(self) -> None:
        """BenchmarkError where a command is missing."""
        lacking = [name for name in ("plan_and_preprocess", "train", "predict") if not self._command(name).is_file()]
        if lacking:
            raise BenchmarkError(
                f"no nnUNetv2_{lacking[0]} beside '{self.python}'",
                "nnunetv2, here or in an environment of its own",
                "run pip install '.[nnunet]' in mvg's source, or 'python -m venv ENV && ENV/bin/pip install nnunetv2' "
                "and set python = 'ENV/bin/python'",
            )

    def train(self, epochs: int) -> None:
        """Train, or go on training, for that many epochs."""
        self.run("train", "1", "2d", "0", "-tr", _trainer(epochs), "--c", "-device", self.kind)

    def run(self, command: str, *arguments: str) -> None:
        """Run a command to its end; what it says goes to FOLDER/nnunet.log. BenchmarkError when it fails."""
        places = {f"nnUNet_{part}": str(self.folder.resolve() / part) for part in ("raw", "preprocessed", "results")}
        environment = {**os.environ, **places, "nnUNet_n_proc_DA": "1", "nnUNet_compile": "f"}
        if ":" in self.device:
            number = int(self.device.split(":", 1)[1])
            seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
            environment["CUDA_VISIBLE_DEVICES"] = seen.split(",")[number] if seen else str(number)
        log = self.folder / "nnunet.log"
        with log.open("a", encoding="utf-8") as file:
            ended = subprocess.run(
                [str(self._command(command).absolute()), *arguments],
                env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        if ended.returncode:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise BenchmarkError(
                f"nnUNetv2_{command} failed ({' '.join(last)[:200]})", "a run to its end", f"read {log}"
            )

    def _command(self, name: str) -> Path:
        return self.python.parent / f"nnUNetv2_{name}"


def _affordable(lesson: TrainingData, program: _Program) -> int:
    """The longest training that the budget pays for, at least one epoch; decided once, however often it is cut."""
    budget, decided = lesson.budget, lesson.folder / "epochs.json"
    if decided.exists():
        return int(json.loads(decided.read_text()))
    if budget.minutes > 0:
        shutil.rmtree(lesson.folder / "results", ignore_errors=True)  # else half an epoch would be measured
        started = time.monotonic()
        program.train(1)
        most = 60 * budget.minutes / (time.monotonic() - started) - 1
    else:
        plans = json.loads((lesson.folder / "preprocessed" / _NAME / "nnUNetPlans.json").read_text())
        most = budget.samples / (_EPOCH * plans["configurations"]["2d"]["batch_size"])
    epochs = max([length for length in _LENGTHS if length <= most], default=1)
    decided.write_text(json.dumps(epochs))
    return epochs


def _trainer(epochs: int) -> str:
    """Its name for a training of that length."""
    return "nnUNetTrainer" if epochs == 1000 else f"nnUNetTrainer_{epochs}epoch{'s' if epochs > 1 else ''}"


def _write_cases(folder: Path, stored: StoredSet, rows: list[SliceRow], task: Task) -> list[str]:
    """The training cases in its raw format; returns their names."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    values, names = labels_of(task), []
    for name, some in _cases(rows):
        images, labels = zip(*(_pair(stored, row, task) for row in some), strict=True)
        _write_volume(folder / f"imagesTr/{name}_0000.nii.gz", np.stack(images), some[0].spacing)
        numbers = np.searchsorted(values, np.stack(labels)).astype(np.uint8)
        _write_volume(folder / f"labelsTr/{name}.nii.gz", numbers, some[0].spacing)
        names.append(name)
    about = {
        "channel_names": {"0": "CT" if task.card.units == "HU" else "other"},
        "labels": {"background": 0} | {f"label {value}": place for place, value in enumerate(values) if value},
        "numTraining": len(names),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(about), encoding="utf-8")
    return names


def _cases(rows: list[SliceRow]) -> Iterator[tuple[str, list[SliceRow]]]:
    found: dict[str, list[SliceRow]] = defaultdict(list)
    for row in rows:
        found[row.case].append(row)
    for number, some in enumerate(found.values()):
        yield f"case{number:04d}", some


def _pair(stored: StoredSet, row: SliceRow, task: Task) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A slice in raw intensities and its labels (rows, cols), without the padding of the store."""
    piece = stored[row.number]
    channel = task.card.channels.index(task.name.split(":", 1)[1])
    _, labels = task.pair(piece, np.random.default_rng(0))
    return piece.raw(channel)[row.box.index], labels[row.box.index]


def _write_volume(path: Path, pictures: NDArray[np.generic], spacing: tuple[float, float]) -> None:
    """Slices (n, rows, cols) as a volume of axial slices, pixels `spacing` (row, column) mm apart."""
    affine = np.diag([-spacing[1], -spacing[0], _APART, 1.0])
    voxels = pictures.transpose(2, 1, 0)
    kind = LabelMap if np.issubdtype(voxels.dtype, np.integer) else Volume
    write(kind(voxels, affine), path)
