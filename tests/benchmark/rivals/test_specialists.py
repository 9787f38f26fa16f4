"""Specialists train on one task, continue after an interruption, and predict on the query's own grid."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mvg.benchmark.protocol.method import Budget, Request, TrainingData
from mvg.benchmark.rivals import _supervised, _training, nnunet, pix2pix, resnet18, transunet, unet, vnet
from mvg.benchmark.rivals._options import TrainingOptions
from mvg.benchmark.rivals._specialist import Specialist, fit_specialist
from mvg.data import Store, prepare
from mvg.data.case import split_of
from mvg.errors import BenchmarkError, RecipeError
from mvg.imaging.files import read
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import tasks_for
from tests.data.folders import AXIAL, make_ct, make_mri

PATIENTS = [name for name in (f"p{i}" for i in range(40)) if split_of(name) == "train"][:4]
SMALL: dict[ModuleType, dict[str, Any]] = {
    unet: {"widths": (8, 16, 32), "rate": 1e-2},
    vnet: {"batch": 4, "rate": 5e-3},
    resnet18: {"batch": 4},
    transunet: {"widths": (16, 24, 32), "hidden": 32, "depth": 1, "rate": 3e-3},
    pix2pix: {"widths": (16, 24, 32), "critic": 8, "layers": 2, "rate": 4e-3},
}
FORMS = [pytest.param(form, id=form.__name__.rsplit(".", 1)[-1]) for form in SMALL]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with two contrasts and two organs in the folder raw/mri, and prepared in the folder prepared."""
    folder = tmp_path_factory.mktemp("data")
    make_mri(folder / "raw/mri", dict.fromkeys(PATIENTS, (36, 32, 4)), channels=2)
    prepare([folder / "raw/mri"], folder / "prepared")
    return folder


def training_data(data: Path, folder: Path, samples: int, kind: str = "segmentation", seed: int = 3) -> TrainingData:
    store = Store.open(data / "prepared")
    task = next(task for task in tasks_for(store.sets["mri"].card) if task.kind == kind)
    return TrainingData(store, (task,), Budget(samples=samples), seed, folder)


def trained(form: ModuleType, given: TrainingData, **changes: Any) -> Specialist:
    method = form.fit(form.Options(**{"size": 32, **SMALL[form], **changes}), given)
    assert isinstance(method, Specialist)
    return method


def turned(volume: Volume) -> Volume:
    """The same picture, its first two array axes exchanged and one of them reversed."""
    voxels, affine = volume.voxels[::-1].transpose(1, 0, 2), volume.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (volume.shape[0] - 1)
    affine[:3, 0] *= -1
    return Volume(voxels, affine[:, [1, 0, 2, 3]])


def weights(method: Specialist) -> list[Tensor]:
    return list(method.network.state_dict().values())


def same(one: Specialist, other: Specialist) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_its_loss_falls_and_it_predicts_on_the_grid_of_the_query(
    form: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update, losses = _supervised._update, []

    def noted(*given: Any) -> float:
        losses.append(update(*given))
        return losses[-1]

    monkeypatch.setattr(_supervised, "_update", noted)
    method = trained(form, training_data(data, tmp_path, 30, "synthesis" if form is pix2pix else "segmentation"))
    assert method.steps == len(losses) == -(-30 // form.Options(**SMALL[form]).batch)
    assert method.log.losses[-1] == losses[-1] < 0.95 * losses[0]
    query = Volume(np.random.default_rng(0).normal(0, 1, (30, 21, 2)), AXIAL[[1, 0, 2, 3]])
    prediction = method(Request(method.task, query, ()))
    assert prediction.shape == query.shape
    assert prediction.affine.tobytes() == query.affine.tobytes()


def test_it_learns_where_an_organ_lies(data: Path, tmp_path: Path) -> None:
    method = trained(unet, training_data(data, tmp_path, 240))
    query = turned(read(data / f"raw/mri/imagesTr/{PATIENTS[0]}_0000.nii.gz"))
    true = turned(read(data / f"raw/mri/labelsTr/{PATIENTS[0]}.nii.gz")).voxels == 1
    prediction = method(Request(method.task, query, ()))
    assert isinstance(prediction, LabelMap)
    assert set(prediction.values) <= {1, 2}
    predicted = prediction.voxels == 1
    assert 2 * (predicted & true).sum() / (predicted.sum() + true.sum()) > 0.6


def test_pictures_come_closer_to_the_truth_in_its_own_units(data: Path, tmp_path: Path) -> None:
    method = trained(unet, training_data(data, tmp_path, 320, "synthesis"))
    query, truth = (read(data / f"raw/mri/imagesTr/{PATIENTS[0]}_000{channel}.nii.gz") for channel in (0, 1))
    prediction = method(Request(method.task, query, ()))
    assert isinstance(prediction, Volume)
    assert np.abs(prediction.voxels - truth.voxels).mean() < 0.6 * np.abs(query.voxels - truth.voxels).mean()


@pytest.mark.parametrize("form", [transunet, pix2pix], ids=["with dropout", "with a critic"])
def test_interrupted_training_ends_as_uninterrupted_training(
    form: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = "inpainting" if form is pix2pix else "segmentation"
    whole = trained(form, training_data(data, tmp_path / "whole", 28, kind), batch=4)
    assert same(whole, trained(form, training_data(data, tmp_path / "again", 28, kind), batch=4))
    assert not same(whole, trained(form, training_data(data, tmp_path / "other", 28, kind, seed=4), batch=4))
    update, steps = _supervised._update, []

    def cut(*given: Any) -> float:
        steps.append(given)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return update(*given)

    monkeypatch.setattr(_training, "SAVE_EVERY", -1.0)
    monkeypatch.setattr(_supervised, "_update", cut)
    with pytest.raises(KeyboardInterrupt):
        trained(form, training_data(data, tmp_path / "cut", 28, kind), batch=4)
    rest = trained(form, training_data(data, tmp_path / "cut", 28, kind), batch=4)
    assert len(steps) == 5 + 3
    assert rest.steps == whole.steps == 7
    assert same(whole, rest)
    again = trained(form, training_data(data, tmp_path / "cut", 28, kind), batch=4)
    assert len(steps) == 8
    assert same(whole, again)
    with pytest.raises(BenchmarkError, match=r"checkpoint\.pt is not a checkpoint of this training \(seed\)"):
        trained(form, training_data(data, tmp_path / "cut", 28, kind, seed=4), batch=4)


class _Zero(nn.Module):
    """Outputs 0 for every image, and has a weight to train."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        return 0 * self.scale * images


def test_a_restoration_changes_the_raw_query_and_crops_are_not_resized(tmp_path: Path) -> None:
    prepare([make_ct(tmp_path / "ct", cases=8, side=96)], tmp_path / "prepared")
    store = Store.open(tmp_path / "prepared")
    task = next(task for task in tasks_for(store.sets["ct"].card) if task.kind == "denoising")
    method = fit_specialist(
        lambda outputs: _Zero(),
        TrainingOptions(size=64, batch=2),
        TrainingData(store, (task,), Budget(samples=2), 0, tmp_path / "x"),
    )
    query = Volume(np.random.default_rng(0).normal(0, 800, (96, 96, 2)), AXIAL)
    np.testing.assert_allclose(method(Request(task, query, ())).voxels, query.voxels, atol=1e-3)


def test_impossible_options_and_missing_slices_are_errors(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = training_data(data, tmp_path, 8)
    with pytest.raises(RecipeError, match="size = 40"):
        unet.Options(size=40)
    with pytest.raises(RecipeError, match="halves 6 times"):
        trained(unet, given, widths=(8,) * 7)
    with pytest.raises(BenchmarkError, match="no slices to learn"):
        trained(unet, replace(given, store=Store(given.store.folder, {})))
    monkeypatch.setitem(sys.modules, "monai.networks.nets", None)
    with pytest.raises(BenchmarkError, match=r"'\.\[benchmark\]'"):
        trained(unet, given)


FAKE = """#!{python}
import json, os, pathlib, sys
import nibabel, numpy as np
raw, preprocessed, results = (pathlib.Path(os.environ["nnUNet_" + n]) for n in ("raw", "preprocessed", "results"))
assert os.environ["nnUNet_n_proc_DA"] == "1"
command, given, name = pathlib.Path(sys.argv[0]).name, sys.argv[1:], "Dataset001_mvg"
if command.endswith("preprocess"):
    (preprocessed / name).mkdir(parents=True)
    plans = {{"configurations": {{"2d": {{"batch_size": 4}}}}}}
    (preprocessed / name / "nnUNetPlans.json").write_text(json.dumps(plans))
elif command.endswith("train"):
    split = json.loads((preprocessed / name / "splits_final.json").read_text())
    assert [c + ".nii.gz" for c in split[0]["train"]] == sorted(os.listdir(raw / name / "labelsTr"))
    bright = []  # the mean intensity of each label
    for case in split[0]["train"]:
        image = nibabel.load(raw / name / "imagesTr" / (case + "_0000.nii.gz")).get_fdata()
        labels = nibabel.load(raw / name / "labelsTr" / (case + ".nii.gz")).get_fdata()
        bright.append([image[labels == n].mean() for n in (0, 1, 2)])
    (results / given[given.index("-tr") + 1]).mkdir(parents=True)
    (results / given[given.index("-tr") + 1] / "model.json").write_text(json.dumps(np.mean(bright, 0).tolist()))
else:
    at = dict(zip(given, given[1:]))
    image = nibabel.load(pathlib.Path(at["-i"]) / "query_0000.nii.gz")
    bright = json.loads((results / at["-tr"] / "model.json").read_text())
    nearest = np.abs(image.get_fdata()[..., None] - np.array(bright)).argmin(-1).astype(np.uint8)
    os.mkdir(at["-o"])
    nibabel.save(nibabel.Nifti1Image(nearest, image.affine), pathlib.Path(at["-o"]) / "query.nii.gz")
"""


@pytest.fixture
def environment(tmp_path: Path) -> str:
    """An interpreter's path beside commands that stand for nnU-Net's: they tell labels by their brightness."""
    for command in ("plan_and_preprocess", "train", "predict"):
        path = tmp_path / f"env/bin/nnUNetv2_{command}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FAKE.format(python=sys.executable))
        path.chmod(0o755)
    return str(tmp_path / "env/bin/python")


def test_nnunet_runs_by_its_commands(data: Path, tmp_path: Path, environment: str) -> None:
    given = training_data(data, tmp_path / "trained", 10_500)
    method = nnunet.fit(nnunet.Options(environment), given)
    assert method.steps == 10 * 250  # the longest that it offers within 10500 slices, four at a time
    about = json.loads((tmp_path / "trained/raw/Dataset001_mvg/dataset.json").read_text())
    assert about["labels"] == {"background": 0, "label 1": 1, "label 2": 2}
    query = turned(read(data / f"raw/mri/imagesTr/{PATIENTS[0]}_0000.nii.gz"))
    truth = turned(read(data / f"raw/mri/labelsTr/{PATIENTS[0]}.nii.gz")).voxels
    prediction = method(Request(given.tasks[0], query, ()))
    assert prediction.affine.tobytes() == query.affine.tobytes()
    inside = truth > 0  # of organs, whose brightness differs
    assert (prediction.voxels[inside] == truth[inside]).mean() > 0.95
    assert nnunet.fit(nnunet.Options(environment), given).steps == method.steps  # finished training is only loaded


def test_a_missing_or_failing_nnunet_is_an_error(data: Path, tmp_path: Path, environment: str) -> None:
    with pytest.raises(BenchmarkError, match="pip install nnunetv2"):
        nnunet.fit(nnunet.Options(), training_data(data, tmp_path / "none", 10))
    (Path(environment).parent / "nnUNetv2_train").write_text(f"#!{sys.executable}\nraise SystemExit('out of memory')\n")
    with pytest.raises(BenchmarkError, match=r"nnUNetv2_train failed \(out of memory"):
        nnunet.fit(nnunet.Options(environment), training_data(data, tmp_path / "bad", 10))
