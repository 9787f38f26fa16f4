"""The command line run as a user runs it, with small synthetic data and a tiny model of random weights."""

import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mvg.app import cli
from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from mvg.model.weights import save_weights
from tests.prediction.learner import random_model
from tests.prediction.scans import scan


@dataclass(frozen=True)
class Result:
    """The exit code of a command and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `mvg ARGUMENTS`."""

    def command(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["mvg", *map(str, arguments)])
        code: object = 0
        try:
            with warnings.catch_warnings():
                cli.main()
        except SystemExit as end:
            code = end.code or 0
        captured = capfd.readouterr()
        assert isinstance(code, int)
        return Result(code, captured.out, captured.err)

    return command


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny random weights."""
    return save_weights(random_model(), tmp_path_factory.mktemp("weights") / "toy", "# toy\n").folder


@pytest.fixture(scope="session")
def user_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's files: `prompts/` with images/ and targets/, `nnunet/`, and the query `scan.nii.gz`."""
    folder = tmp_path_factory.mktemp("user")
    for number in range(2):
        image, labels = scan((32, 32, 3), seed=number)
        put(image, folder / "prompts" / "images" / f"case{number}.nii.gz")
        put(labels, folder / "prompts" / "targets" / f"case{number}.nii.gz")
        put(image, folder / "nnunet" / "imagesTr" / f"case{number}_0000.nii.gz")
        put(labels, folder / "nnunet" / "labelsTr" / f"case{number}.nii.gz")
    put(scan((32, 32, 3), seed=9)[0], folder / "scan.nii.gz")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB; only an administrator may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=100k", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("no small file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def user(user_files: Path, tmp_path: Path) -> Path:
    """A copy of the user's files that may be damaged."""
    shutil.copytree(user_files, tmp_path / "user")
    return tmp_path / "user"


def put(volume: Volume | LabelMap, path: Path) -> None:
    """Write a volume and make its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(volume, path)


def picture(shape: tuple[int, int] = (40, 30), seed: int = 0) -> Volume:
    """A gray picture of 8 bits."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*shape, 1)).astype(np.float32)
    return Volume(pixels, np.diag([-1.0, -1, 1, 1]))
