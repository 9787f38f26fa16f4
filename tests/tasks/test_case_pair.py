"""The pair that a task makes of a whole case, and which tasks and cases are evaluated."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvg.data import DataSet, open_folder
from mvg.imaging.files import read, read_labels
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import CaseFiles, Task, evaluated_tasks, tasks_for
from tests.data.folders import AXIAL, make_ct, make_mri, write_description, write_image

PAPER = {"segmentation", "synthesis", "inpainting", "denoising"}  # kinds; others may join


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Labeled brain images with two contrasts; rows and columns differ in number."""
    folder = make_mri(tmp_path_factory.mktemp("sets") / "heads", {"pat1": (100, 104, 4), "pat2": (100, 104, 4)}, 2)
    return open_folder(folder)


def task_named(data: DataSet, name: str) -> Task:
    return next(task for task in tasks_for(data.card) if task.name == name)


def test_pairs_of_segmentation_and_synthesis_are_the_files(heads: DataSet) -> None:
    case, rng = heads.cases[0], np.random.default_rng(0)
    first, second = (read(path) for path in case.images)
    assert isinstance(case.labels, Path)
    labels = read_labels(case.labels)
    pair = task_named(heads, "segmentation:contrast 1").case_pair(CaseFiles(case, heads.card), rng)
    np.testing.assert_array_equal(pair.image.voxels, second.voxels)
    np.testing.assert_array_equal(pair.target.voxels, labels.voxels)
    pair = task_named(heads, "synthesis:contrast 1->contrast 0").case_pair(CaseFiles(case, heads.card), rng)
    np.testing.assert_array_equal(pair.image.voxels, second.voxels)
    np.testing.assert_array_equal(pair.target.voxels, first.voxels)
    assert pair.labels is not None
    np.testing.assert_array_equal(pair.labels.voxels, labels.voxels)


def test_pairs_with_real_voids_or_real_noise_are_the_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = rng.uniform(1, 200, (40, 44, 5)).astype(np.float32)
    voided = np.where(np.arange(40)[:, None, None] < 8, np.float32(0), whole)
    write_image(tmp_path / "voids/imagesTr/a_0000.nii.gz", voided)
    write_image(tmp_path / "voids/targetsTr/a.nii.gz", whole)
    write_description(
        tmp_path / "voids", channel_names={"0": "T1"}, labels={}, target_task="inpainting", modality="MRI"
    )
    voids = open_folder(tmp_path / "voids")
    (task,) = evaluated_tasks(voids)
    pair = task.case_pair(CaseFiles(voids.cases[0], voids.card), rng)
    np.testing.assert_array_equal(pair.target.voxels, whole)
    np.testing.assert_array_equal(pair.regions["void"], voided != whole)
    noisy = open_folder(make_ct(tmp_path / "pairs", target=True))
    (task,) = evaluated_tasks(noisy)
    pair = task.case_pair(CaseFiles(noisy.cases[0], noisy.card), rng)
    assert noisy.cases[0].target is not None
    np.testing.assert_array_equal(pair.target.voxels, read(noisy.cases[0].target).voxels)


def test_a_task_serves_cases_that_have_its_target(heads: DataSet, tmp_path: Path) -> None:
    case = heads.cases[0]
    unlabeled = replace(case, labels=None)
    segmentation = task_named(heads, "segmentation:contrast 0")
    assert segmentation.serves(case)
    assert not segmentation.serves(unlabeled)
    assert task_named(heads, "synthesis:contrast 0->contrast 1").serves(unlabeled)
    pairs = open_folder(make_ct(tmp_path / "pairs", target=True))
    denoising = evaluated_tasks(pairs)[0]
    assert denoising.serves(pairs.cases[0])
    assert not denoising.serves(replace(pairs.cases[0], target=None))


def test_evaluated_tasks_are_few_and_start_with_segmentation(heads: DataSet, tmp_path: Path) -> None:
    kinds = [task.kind for task in evaluated_tasks(heads) if task.kind in PAPER]
    assert kinds == ["segmentation", "inpainting", "synthesis", "synthesis"]
    named = replace(heads, card=replace(heads.card, labels={1: "lesion of contrast 1"}))
    assert evaluated_tasks(named)[0].name == "segmentation:contrast 1"
    assert [task.name for task in evaluated_tasks(open_folder(make_ct(tmp_path / "ct")))] == ["denoising:CT@25%"]
    real = open_folder(make_ct(tmp_path / "pairs", target=True))
    assert [task.name for task in evaluated_tasks(real)] == ["denoising:CT, low dose"]
    small = open_folder(make_mri(tmp_path / "small", {"pat1": (40, 44, 3)}))
    assert "inpainting" not in {task.kind for task in evaluated_tasks(small)}


def test_channels_of_image_and_target_are_those_of_the_card(heads: DataSet) -> None:
    task = task_named(heads, "synthesis:contrast 1->contrast 0")
    assert (task.channel, task.target_channel) == (1, 0)
    task = task_named(heads, "segmentation:contrast 1")
    assert (task.channel, task.target_channel) == (1, None)
    assert task_named(heads, "inpainting:contrast 1").channel == 1


@pytest.mark.parametrize("shape", [(40, 30, 4), (30, 40, 4), (40, 4, 30)])
def test_a_task_without_case_pair_assembles_the_pairs_of_its_slices(
    tmp_path: Path, shape: tuple[int, int, int], new_kind: Callable[..., None]
) -> None:
    new_kind("brightening")
    affine = np.diag([-1.0, -1.0, 3.0, 1.0]) if shape[2] == 4 else np.diag([-1.0, -3.0, 1.0, 1.0])
    voxels = np.random.default_rng(0).uniform(0, 100, shape).astype(np.float32)
    write_image(tmp_path / "set/imagesTr/a_0000.nii.gz", voxels, affine)
    write_description(tmp_path / "set", channel_names={"0": "T1"}, labels={}, modality="MRI")
    data = open_folder(tmp_path / "set")
    (task,) = (task for task in evaluated_tasks(data) if task.kind == "brightening")
    pair = task.case_pair(CaseFiles(data.cases[0], data.card), np.random.default_rng(0))
    assert isinstance(pair.target, Volume)
    assert pair.image.shape == pair.target.shape == shape
    assert pair.image.affine.tobytes() == read(data.cases[0].images[0]).affine.tobytes()
    assert np.corrcoef(pair.image.voxels.ravel(), voxels.ravel())[0, 1] > 0.99
    np.testing.assert_allclose(pair.target.voxels, np.sqrt(pair.image.voxels), atol=1e-5)


def test_slices_that_a_task_does_not_accept_have_an_empty_target(heads: DataSet) -> None:
    class Refusing(type(task_named(heads, "segmentation:contrast 0"))):  # type: ignore[misc]
        case_pair = Task.case_pair

        def accepts(self, row: object) -> bool:
            return getattr(row, "index", 0) > 1

    task = Refusing("segmentation:contrast 0", heads.card, 0)
    pair = task.case_pair(CaseFiles(heads.cases[0], heads.card), np.random.default_rng(0))
    assert isinstance(pair.target, LabelMap)
    assert isinstance(heads.cases[0].labels, Path)
    truth = read_labels(heads.cases[0].labels).voxels
    assert np.array_equal(pair.target.affine, AXIAL)
    assert not pair.target.voxels[:, :, :2].any()
    np.testing.assert_array_equal(pair.target.voxels[:, :, 2:], truth[:, :, 2:])
