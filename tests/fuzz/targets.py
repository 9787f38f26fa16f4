"""What damaged inputs are handed to. A target returns how it ended, and raises nothing but MvgErrors."""

import json
import shutil
from pathlib import Path

from mvg.app.checking import CheckReport, CheckRequest, check
from mvg.imaging.files import read, read_labels
from mvg.model.weights import load_weights
from mvg.prediction.batch import plan, predict_files
from mvg.prediction.output_files import output_folder
from mvg.prediction.predictor import load_task
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.prompts.folder import open_prompts
from tests.fuzz.seeds import SHAPE
from tests.prediction.scans import scan


def read_image(path: Path, task: PromptedTask) -> None:
    """As an image."""
    read(path)


def read_label_map(path: Path, task: PromptedTask) -> None:
    """As labels."""
    read_labels(path)


def predict(path: Path, task: PromptedTask) -> None:
    """As a query; the error of the batch is raised again."""
    out = path.parent / "out"
    with output_folder(out):
        (outcome,) = predict_files(task, plan([path], out, "labels"))
        if outcome.error is not None:
            raise EndedInError(outcome.error)
        for file in outcome.written:
            assert file.exists(), "an answer that was not written"
            file.unlink()


def check_query(path: Path, task: PromptedTask) -> None:
    """As a query of `mvg check`; the error of the report is raised again."""
    _printed(check(CheckRequest(_whole_prompts(path), [path])))


def check_prompt(path: Path, task: PromptedTask) -> None:
    """As the image of a prompt of `mvg check`."""
    prompts = path.parent / "prompts"
    for part in ("images", "targets"):
        (prompts / part).mkdir(parents=True)
    shutil.copy(path, prompts / "images" / f"a{path.name.removeprefix('input')}")
    shutil.copy(_whole_prompts(path) / "labelsTr" / "a.nii.gz", prompts / "targets" / "a.nii.gz")
    _printed(check(CheckRequest(prompts)))


def _whole_prompts(path: Path) -> Path:
    return path.parent.parent / "whole" / "prompts"


def _printed(report: CheckReport) -> None:
    assert all("\n" not in line for line in report.lines()), "a fact of several lines"
    json.loads(report.as_json(), parse_constant=_refuse_constant)
    if report.errors:
        raise EndedInError(report.errors[0])


def _refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def open_folder(path: Path, task: PromptedTask) -> None:
    """As the dataset.json of a folder of prompts."""
    folder = open_prompts(path.parent)
    folder.images[0], folder.targets[0]


def open_task(path: Path, task: PromptedTask) -> None:
    """As a task file, with which a scan is predicted."""
    loaded = load_task(path, path.parent / "weights", "cpu")
    loaded(scan(SHAPE, seed=3)[0])


def open_weights(path: Path, task: PromptedTask) -> None:
    """As a file in a folder of weights."""
    load_weights(path.parent)


class EndedInError(Exception):
    """The line about an error, from where errors are outcomes."""


IMAGE_TARGETS = (read_image, read_label_map, predict, check_query, check_prompt)
OTHER_TARGETS = {
    "dataset.json": open_folder, "task": open_task, "weights": open_weights, "config.json": open_weights,
}  # fmt: skip
