"""A prompt case that cannot be used ends in an error or a line that names it, whatever is wrong with it."""

import logging
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvg.errors import MvgError
from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.oddities import prompt_oddities
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompts.folder import open_prompts
from tests.prediction.bodies import AFFINE, body, predictor

few = settings(max_examples=20, deadline=None)
COUNT = 3


def cut(path: Path) -> None:
    """As a copy that was interrupted."""
    path.write_bytes(path.read_bytes()[:-2000])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def elsewhere(path: Path) -> None:
    write(LabelMap(body(1)[1].voxels, AFFINE + shift(40)), path)


def shift(millimeters: float) -> np.ndarray:
    """What moves an affine."""
    moved = np.zeros((4, 4))
    moved[0, 3] = millimeters
    return moved


def unknown(path: Path) -> None:
    """As a case that was prepared and never annotated."""
    write(LabelMap(np.full(body(1)[1].shape, -1, np.int16), AFFINE), path)


def with_nan(path: Path) -> None:
    import nibabel

    voxels = np.array(body(1)[0].voxels)
    voxels[:3] = np.nan
    nibabel.Nifti1Image(voxels, AFFINE).to_filename(path)


def text(path: Path) -> None:
    path.write_text("see the other folder")


REFUSED: dict[str, tuple[str, Callable[[Path], None]]] = {
    "cut image": ("images", cut), "cut labels": ("targets", cut), "empty image": ("images", emptied),
    "empty labels": ("targets", emptied), "labels elsewhere": ("targets", elsewhere), "NaN": ("images", with_nan),
    "text": ("images", text), "labels as text": ("targets", text),
}  # fmt: skip


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        self.lines.append(record.getMessage())


def folder_with(folder: Path, part: str, number: int, change: Callable[[Path], None]) -> Path:
    """Three cases, of which a file is changed."""
    for name in ("images", "targets"):
        (folder / name).mkdir()
    for case in range(COUNT):
        image, labels = body(case)
        write(image, folder / "images" / f"case{case}.nii")
        write(labels, folder / "targets" / f"case{case}.nii")
    change(folder / part / f"case{number}.nii")
    return folder


def prompted(folder: Path) -> int:
    """How many volumes the prompts of a folder have."""
    prompts = open_prompts(folder)
    options = PredictionOptions(zoom="off")
    task = predictor().prompt(prompts.images, prompts.targets, prompts.task, options, names=prompts.names)
    return len(np.unique(task.prompts.volume))


@few
@given(st.sampled_from(sorted(REFUSED)), st.integers(0, COUNT - 1))
def test_cases_that_cannot_be_read_are_refused_by_name(fault: str, number: int) -> None:
    part, change = REFUSED[fault]
    with TemporaryDirectory() as temporary, pytest.raises(MvgError) as caught:
        prompted(folder_with(Path(temporary), part, number, change))
    assert f"case{number}" in str(caught.value)
    assert "\n" not in str(caught.value)


@few
@given(st.integers(0, COUNT - 1))
def test_cases_that_nobody_annotated_are_named(number: int) -> None:
    lines = Lines()
    logging.getLogger("mvg").addHandler(lines)
    with TemporaryDirectory() as temporary:
        used = prompted(folder_with(Path(temporary), "targets", number, unknown))
    logging.getLogger("mvg").removeHandler(lines)
    assert used == COUNT - 1
    (line,) = (line for line in lines.lines if "left out" in line)
    assert line.startswith(f"1 of {COUNT} prompts are left out")
    assert f"'case{number}'" in line


@few
@given(st.sets(st.integers(0, COUNT - 1), max_size=COUNT - 1))
def test_cases_without_labels_are_counted_among_the_oddities(empty: set[int]) -> None:
    """They are used: their slices are background."""
    pairs = [body(case) for case in range(COUNT)]
    targets = [LabelMap(labels.voxels * (case not in empty), AFFINE) for case, (_, labels) in enumerate(pairs)]
    images: list[Volume] = [image for image, _ in pairs]
    task = predictor().prompt(images, targets, options=PredictionOptions(zoom="off"))
    messages = [odd.message for odd in prompt_oddities(task.prompts, task.spec) if odd.kind == "empty labels"]
    assert messages == ([f"{len(empty)} of {COUNT} prompts show no label"] if empty else [])
