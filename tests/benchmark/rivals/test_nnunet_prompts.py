"""nnU-Net that learns from the prompts of a request: a package in its place, and the real one where it is there."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvg.benchmark.protocol.method import Budget, Prompt, Request, TrainingData
from mvg.benchmark.rivals import nnunet_prompts
from mvg.data import Store, open_folder
from mvg.errors import BenchmarkError
from mvg.imaging.files import read, read_labels
from mvg.imaging.volume import IGNORED, LabelMap
from mvg.tasks import Task, evaluated_tasks
from tests.benchmark.rivals.test_specialists import turned
from tests.data.folders import make_mri

CASES = ["p1", "p2", "p3"]
HAS_NNUNET = (Path(sys.executable).parent / "nnUNetv2_plan_and_preprocess").is_file()
PLAN = """#!{python}
import json, os, pathlib, shutil, sys
assert sys.argv[1:] == "-d 1 -c 2d -npfp 1 -np 1".split()
raw, preprocessed = (pathlib.Path(os.environ["nnUNet_" + n]) / "Dataset001_mvg" for n in ("raw", "preprocessed"))
preprocessed.mkdir(parents=True)
shutil.copy(raw / "dataset.json", preprocessed)
(preprocessed / "nnUNetPlans.json").write_text("{{}}")
"""
TRAINER = """
import json, os, pathlib, time
from itertools import count
from types import SimpleNamespace
import nibabel, numpy as np
class nnUNetTrainer:
    def __init__(self, plans, configuration, fold, dataset_json, device):
        assert (configuration, fold, str(device)) == ("2d", "all", "cpu")
        assert os.environ["nnUNet_n_proc_DA"] == "0"  # all in one process
        self.labels, self.rates, self.initial_lr = dataset_json["labels"], [], 0.01
    def on_train_start(self):
        raw = pathlib.Path(os.environ["nnUNet_raw"]) / "Dataset001_mvg"
        images, labels = (np.concatenate([nibabel.load(f).get_fdata().ravel() for f in sorted((raw / n).iterdir())])
            for n in ("imagesTr", "labelsTr"))
        ignored = self.labels.get("ignore")
        assert set(np.unique(labels)) == set(self.labels.values())
        self.bright = [images[labels == n].mean() for n in sorted(self.labels.values()) if n != ignored]
        self.network = SimpleNamespace(train=lambda: None)
        self.optimizer = SimpleNamespace(param_groups=[{}])
        self.dataloader_train = count()
    def train_step(self, batch):
        assert batch == len(self.rates)
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        time.sleep(0.02)
    def on_train_end(self):
        name = f"{type(self).__name__}__nnUNetPlans__2d"
        folder = pathlib.Path(os.environ["nnUNet_results"]) / "Dataset001_mvg" / name
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(json.dumps({"bright": self.bright, "rates": self.rates}))
"""
PREDICTOR = """
import json, pathlib
import nibabel, numpy as np
class nnUNetPredictor:
    def __init__(self, device, allow_tqdm): pass
    def initialize_from_trained_model_folder(self, folder, folds):
        assert folds == ("all",)
        self.bright = json.loads((pathlib.Path(folder) / "model.json").read_text())["bright"]
    def predict_from_files_sequential(self, inputs, outputs):
        image = nibabel.load(pathlib.Path(inputs) / "query_0000.nii.gz")
        nearest = np.abs(image.get_fdata()[..., None] - np.array(self.bright)).argmin(-1).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(nearest, image.affine), pathlib.Path(outputs) / "query.nii.gz")
"""

TORCH = """
device, manual_seed, set_num_threads = str, lambda seed: None, lambda count: None  # the real one loads for seconds
"""


@pytest.fixture
def environment(tmp_path: Path) -> str:
    """An interpreter that finds a package in the place of nnunetv2: it tells labels by their brightness."""
    package, commands = tmp_path / "packages/nnunetv2", tmp_path / "env/bin"
    for name, text in (
        ("training/nnUNetTrainer/nnUNetTrainer.py", TRAINER),
        ("inference/predict_from_raw_data.py", PREDICTOR),
        ("../torch.py", TORCH),
    ):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    commands.mkdir(parents=True)
    python = f'#!/bin/sh\nPYTHONPATH={package.parent} exec {sys.executable} "$@"\n'
    plan = PLAN.format(python=sys.executable)
    for name, text in (
        ("python", python), ("nnUNetv2_plan_and_preprocess", plan), ("nnUNetv2_train", ""), ("nnUNetv2_predict", ""),
    ):  # fmt: skip
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    return str(commands / "python")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mri(tmp_path_factory.mktemp("raw") / "mri", dict.fromkeys(CASES, (36, 32, 4)))


@pytest.fixture
def task(folder: Path) -> Task:
    return next(task for task in evaluated_tasks(open_folder(folder)) if task.spec.target_type == "labels")


def turned_labels(labels: LabelMap) -> LabelMap:
    volume = turned(labels)  # type: ignore[arg-type]
    return LabelMap(volume.voxels.astype(np.int64), volume.affine)


def request(
    folder: Path, task: Task, cases: list[str], change: Callable[[LabelMap], LabelMap] = turned_labels
) -> Request:
    """The last case as the query, turned; prompts of some cases, the first of them turned and its labels changed."""
    prompts = []
    for number, case in enumerate(cases):
        image, target = read(folder / f"imagesTr/{case}_0000.nii.gz"), read_labels(folder / f"labelsTr/{case}.nii.gz")
        if number == 0:
            image, target = turned(image), change(target)
        prompts.append(Prompt(case, case, image, target))
    return Request(task, turned(read(folder / f"imagesTr/{CASES[-1]}_0000.nii.gz")), tuple(prompts))


def training_data(task: Task, folder: Path) -> TrainingData:
    return TrainingData(Store(folder, {}), (task,), Budget(), 0, folder / "trained")


def truth(folder: Path) -> LabelMap:
    return turned_labels(read_labels(folder / f"labelsTr/{CASES[-1]}.nii.gz"))


def test_it_learns_from_the_prompts_once_and_answers_on_the_querys_grid(
    folder: Path, task: Task, tmp_path: Path, environment: str
) -> None:
    method = nnunet_prompts.fit(nnunet_prompts.Options(environment, 0.2), training_data(task, tmp_path))
    given = request(folder, task, CASES[:2])
    prediction = method(given)
    assert prediction.affine.tobytes() == given.query.affine.tobytes()
    inside = truth(folder).voxels > 0  # of organs, whose brightness differs
    assert (prediction.voxels[inside] == truth(folder).voxels[inside]).mean() > 0.95
    (model,) = (tmp_path / "trained").rglob("model.json")
    rates = json.loads(model.read_text())["rates"]
    assert method.steps == len(rates) > 1
    assert rates[0] == 0.01
    assert all(np.diff(rates) < 0)
    assert rates[-1] < 0.005
    method(replace(given, prompts=given.prompts[::-1]))
    assert len(list((tmp_path / "trained").rglob("model.json"))) == 1
    method(request(folder, task, CASES[1:2]))
    assert len(list((tmp_path / "trained").rglob("model.json"))) == 2


def test_the_processors_time_can_be_the_budget(folder: Path, task: Task, tmp_path: Path, environment: str) -> None:
    """Steps that sleep take no time of the processor."""
    options = nnunet_prompts.Options(environment, 0.02, "processor")
    method = nnunet_prompts.fit(options, training_data(task, tmp_path))
    method(request(folder, task, CASES[:2]))
    assert method.steps > 3


def test_unknown_voxels_are_ignored(folder: Path, task: Task, tmp_path: Path, environment: str) -> None:
    def half_known(labels: LabelMap) -> LabelMap:
        voxels = np.array(labels.voxels, np.int64)
        voxels[:, :16] = IGNORED
        return turned_labels(LabelMap(voxels, labels.affine))

    method = nnunet_prompts.fit(nnunet_prompts.Options(environment, 0.01), training_data(task, tmp_path))
    prediction = method(request(folder, task, CASES[:2], half_known))
    (about,) = (tmp_path / "trained").rglob("raw/Dataset001_mvg/dataset.json")
    assert json.loads(about.read_text())["labels"] == {"background": 0, "label 1": 1, "label 2": 2, "ignore": 3}
    inside = truth(folder).voxels > 0
    assert (prediction.voxels[inside] == truth(folder).voxels[inside]).mean() > 0.95


def test_a_missing_or_failing_nnunet_is_an_error(folder: Path, task: Task, tmp_path: Path, environment: str) -> None:
    with pytest.raises(BenchmarkError, match="pip install nnunetv2"):
        nnunet_prompts.check(nnunet_prompts.Options(str(tmp_path / "python")))
    shutil.rmtree(tmp_path / "packages")
    method = nnunet_prompts.fit(nnunet_prompts.Options(environment), training_data(task, tmp_path))
    with pytest.raises(BenchmarkError, match=r"nnU-Net's train failed \(ModuleNotFoundError"):
        method(request(folder, task, CASES[:2]))


@pytest.mark.skipif(not HAS_NNUNET, reason="needs nnunetv2: pip install '.[nnunet]'")
def test_the_real_program_learns(folder: Path, task: Task, tmp_path: Path) -> None:
    method = nnunet_prompts.fit(nnunet_prompts.Options("", 5.0, "processor"), training_data(task, tmp_path))
    prediction = method(request(folder, task, CASES[:2]))
    assert isinstance(prediction, LabelMap)
    assert method.steps > 3
    true = truth(folder).voxels > 0
    assert ((prediction.voxels > 0) & true).sum() / ((prediction.voxels > 0) | true).sum() > 0.3
