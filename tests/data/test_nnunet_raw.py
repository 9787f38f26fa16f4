"""Data sets of nnU-Net by name, and answers written as one."""

import json
from pathlib import Path

import numpy as np
import pytest

import mvg
from mvg.data.nnunet_export import AnsweredCase, export_nnunet
from mvg.data.nnunet_raw import dataset_folder
from mvg.data.sets import nnunet
from mvg.errors import FileError, GeometryError, UnknownNameError
from mvg.imaging.volume import LabelMap
from tests.prediction.bodies import CT, body


@pytest.mark.parametrize("name", ["4", "004", "Heart", "Dataset004_Heart"])
def test_data_sets_by_id_or_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("Dataset004_Heart", "Dataset040_Liver", "notes"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    assert dataset_folder(name).name == "Dataset004_Heart"
    with pytest.raises(UnknownNameError, match="Dataset004_Heart, Dataset040_Liver"):
        dataset_folder("Lung")


def test_without_the_variable_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_raw", raising=False)
    with pytest.raises(FileError, match="no nnUNet_raw is set"):
        dataset_folder("4")


def cases(folder: Path) -> list[AnsweredCase]:
    """Two answered queries in other formats, with label values that have gaps; rows of one answer run backwards."""
    made = []
    for seed in (1, 2):
        image, labels = body(seed, CT)
        values = np.array([0, 7, 300])[labels.voxels]
        flip = np.diag([1.0, -1, 1, 1])
        flip[1, 3] = labels.shape[1] - 1
        stored = LabelMap(values[:, ::-1], labels.affine @ flip) if seed == 2 else LabelMap(values, labels.affine)
        mvg.write(image, folder / f"q{seed}.mha")
        mvg.write(stored, folder / f"a{seed}.nii.gz")
        made.append(AnsweredCase(f"case{seed}", folder / f"q{seed}.mha", folder / f"a{seed}.nii.gz"))
    return made


def test_answers_become_a_data_set_that_can_be_opened(tmp_path: Path) -> None:
    folder = tmp_path / "raw" / "Dataset501_Organs"
    assert export_nnunet(cases(tmp_path), folder, {7: "liver"}) == {7: 1, 300: 2}
    description = json.loads((folder / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "liver": 1, "label 300": 2}
    assert description["channel_names"] == {"0": "CT"}
    assert description["numTraining"] == 2
    assert [case.name for case in nnunet.open(folder).cases] == ["case1", "case2"]
    for seed in (1, 2):
        image, labels = body(seed, CT)
        assert np.array_equal(mvg.read_labels(folder / "labelsTr" / f"case{seed}.nii.gz").voxels, labels.voxels)
        assert mvg.read(folder / "imagesTr" / f"case{seed}_0000.nii.gz").same_grid(image)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["Dataset501_Organs"]


def test_nothing_is_left_of_a_data_set_that_cannot_be_written(tmp_path: Path) -> None:
    (first, second), folder = cases(tmp_path), tmp_path / "raw" / "Dataset501_Organs"
    elsewhere = AnsweredCase("case2", second.image, tmp_path / "far.nii.gz")
    labels = body(2)[1]
    far = labels.affine.copy()
    far[0, 3] += 30
    mvg.write(LabelMap(labels.voxels, far), tmp_path / "far.nii.gz")
    with pytest.raises(GeometryError, match="lies on another grid"):
        export_nnunet([first, elsewhere], folder, {})
    assert list(folder.parent.iterdir()) == []
    with pytest.raises(FileError, match="DatasetNNN_NAME"):
        export_nnunet([first], tmp_path / "organs", {})
    export_nnunet([first], folder, {})
    with pytest.raises(FileError, match="is not empty"):
        export_nnunet([first], folder, {})
