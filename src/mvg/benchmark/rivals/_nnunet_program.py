"""nnU-Net as a program in an environment of its own: its commands, its folders and its raw format."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import BenchmarkError
from mvg.imaging.files import read_labels, write
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import Task

DATASET = "Dataset001_mvg"
_SLICE_DISTANCE = 999.0  # mm between slices
_CLOCK_PROGRAM = Path(__file__).with_name("_nnunet_clock.py")


@dataclass(frozen=True)
class NnUNetProgram:
    """The commands beside an interpreter ("": the one that runs mvg), and the folder that they work in.

    FOLDER/raw, preprocessed and results are nnU-Net's; FOLDER/nnunet.log has what it prints.
    """

    interpreter: str
    folder: Path
    device: str

    @property
    def python(self) -> Path:
        """The path of the interpreter."""
        return Path(self.interpreter or sys.executable).expanduser()

    @property
    def kind(self) -> str:
        """The device, as the commands name it."""
        return self.device.split(":", 1)[0]

    @property
    def raw(self) -> Path:
        """The folder of the raw data set."""
        return self.folder / "raw" / DATASET

    def check(self) -> None:
        """BenchmarkError if a command is missing."""
        missing = [name for name in ("plan_and_preprocess", "train", "predict") if not self._command(name).is_file()]
        if missing:
            raise BenchmarkError(
                f"no nnUNetv2_{missing[0]} beside '{self.python}'",
                "nnunetv2, here or in an environment of its own",
                "run pip install '.[nnunet]' in mvg's source, or 'python -m venv ENV && ENV/bin/pip install nnunetv2' "
                "and set python = 'ENV/bin/python'",
            )

    def preprocess(self) -> None:
        """Plan and preprocess the raw data set for the 2D configuration."""
        self.run("plan_and_preprocess", "-d", "1", "-c", "2d", "-npfp", "1", "-np", "1")

    def run(self, command: str, *arguments: str) -> None:
        """Run one of its commands to its end. BenchmarkError if it fails."""
        self._run(f"nnUNetv2_{command}", [str(self._command(command).absolute()), *arguments], workers=1)

    def run_by_clock(self, command: str, *arguments: str) -> None:
        """Run a command of `_nnunet_clock.py` in its environment, in one process. BenchmarkError if it fails."""
        program = [str(self.python.absolute()), str(_CLOCK_PROGRAM), command, DATASET, self.kind, *arguments]
        self._run(f"nnU-Net's {command}", program, workers=0)

    def _run(self, title: str, program: Sequence[str], workers: int) -> None:
        folders = {f"nnUNet_{part}": str(self.folder.resolve() / part) for part in ("raw", "preprocessed", "results")}
        environment = {**os.environ, **folders, "nnUNet_n_proc_DA": str(workers), "nnUNet_compile": "f"}
        if ":" in self.device:
            number = int(self.device.split(":", 1)[1])
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
            environment["CUDA_VISIBLE_DEVICES"] = visible.split(",")[number] if visible else str(number)
        log = self.folder / "nnunet.log"
        with log.open("a", encoding="utf-8") as file:
            process = subprocess.run(
                program, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, check=False
            )
        if process.returncode:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise BenchmarkError(f"{title} failed ({' '.join(last)[:200]})", "a run to its end", f"read {log}")

    def _command(self, name: str) -> Path:
        return self.python.parent / f"nnUNetv2_{name}"


def write_volume(path: Path, pictures: NDArray[np.generic], spacing: tuple[float, float]) -> None:
    """Write slices (n, rows, cols) as a volume of axial slices; spacing: (row, column) mm of a pixel.

    Slices are declared to be 999 mm apart, which is nnU-Net's own way to keep them independent.
    """
    affine = np.diag([-spacing[1], -spacing[0], _SLICE_DISTANCE, 1.0])
    voxels = pictures.transpose(2, 1, 0)
    kind = LabelMap if np.issubdtype(voxels.dtype, np.integer) else Volume
    write(kind(voxels, affine), path)


def classes_of(
    predict: Callable[[Path, Path], None], pictures: NDArray[np.generic], spacing: tuple[float, float]
) -> NDArray[np.integer[Any]]:
    """The class numbers (n, rows, cols) of slices; `predict(inputs, outputs)` predicts all images of a folder."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = Path(folder) / "inputs", Path(folder) / "outputs"
        inputs.mkdir()
        write_volume(inputs / "query_0000.nii.gz", pictures, spacing)
        predict(inputs, outputs)
        return read_labels(outputs / "query.nii.gz").pictures("axial")


def label_numbers(values: Sequence[int]) -> dict[str, int]:
    """The labels as nnU-Net names and numbers them; values: those of a task, background first."""
    return {f"label {value}": number for number, value in enumerate(values) if value}


def write_description(folder: Path, task: Task, labels: dict[str, int], cases: int) -> None:
    """Write the description of a raw data set; labels: name -> number from 1 on, "ignore" for what is unknown."""
    description = {
        "channel_names": {"0": "CT" if task.card.units == "HU" else "other"},
        "labels": {"background": 0} | labels,
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
