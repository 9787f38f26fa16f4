"""Every command that writes, on a disk that is full at some point: one line, and no part of a file."""

import os
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.data.folders import make_mri
from tests.fuzz.kill import RECIPE
from tests.journeys.conftest import Run

_SIZE = 100 * 1024  # of the disk
Arguments = Callable[[Path, Path, Path], tuple[object, ...]]
"""Of a command, by the user's files, the weights and the output folder."""


def training(user: Path, output: Path) -> tuple[object, ...]:
    """A recipe of a few steps on two patients."""
    (user / "toy.toml").write_text(RECIPE.format(store=user / "store", steps=4))
    return ("train", user / "toy.toml", "--output", output / "run")


COMMANDS: dict[str, Arguments] = {
    "task file": lambda user, weights, output: (
        "predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--weights", weights,
        "--output", output / "predictions", "--save-task", output / "a.mvgtask",
    ),
    "finetune": lambda user, weights, output: (
        "finetune", user / "prompts", "--weights", weights, "--output", output / "tuned", "--minutes", 0.02,
    ),
    "export-nnunet": lambda user, weights, output: (
        "export-nnunet", user / "prompts" / "images" / "case0.nii.gz", "--labels", user / "prompts" / "targets",
        "--output", output / "Dataset501_Toy",
    ),
    "prepare": lambda user, weights, output: ("prepare", user / "heads", "--output", output / "store"),
    "train": lambda user, weights, output: training(user, output),
    "degrade": lambda user, weights, output: (
        "degrade", "speckle", user / "scan.nii.gz", "--output", output / "pairs",
    ),
    "register": lambda user, weights, output: (
        "register", user / "scan.nii.gz", user / "prompts" / "images" / "case0.nii.gz", "--output", output / "aligned",
    ),
    "evaluate": lambda user, weights, output: (
        "evaluate", user / "prompts" / "targets", user / "prompts" / "targets", "--output", output / "evaluation",
    ),
}  # fmt: skip


@pytest.mark.parametrize("free", [4096, 16384])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_one_line(
    command: str, free: int, run: Run, user: Path, weights: Path, small_disk: Path
) -> None:
    make_mri(user / "heads", {f"pat{number}": (32, 32, 3) for number in range(2)})
    if command == "train":
        assert run("prepare", user / "heads", "--output", user / "store").code == 0
    (small_disk / "filler").write_bytes(os.urandom(_SIZE - free - 4096))
    result = run(*COMMANDS[command](user, weights, small_disk))
    lines = result.err.splitlines()
    assert "Traceback" not in result.err
    if result.code == 2:
        assert lines
        assert any(word in lines[-1] for word in ("space", "full disk"))
    for path in small_disk.rglob("*.nii.gz"):
        np.asarray(nibabel.load(path).dataobj)
    assert not list(small_disk.rglob(".writing-*"))
