"""Data sets of nnU-Net by name, and answers written as one."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

import mvg
from mvg.app.exporting import Answered, export_data_set
from mvg.data.nnunet_export import AnsweredCase, export_nnunet
from mvg.data.nnunet_raw import dataset_folder
from mvg.data.sets import nnunet
from mvg.errors import FileError, GeometryError, UnknownNameError
from mvg.imaging.dicom.segmentation import write_segmentation
from mvg.imaging.dicom.terms import terms_of
from mvg.imaging.volume import LabelMap
from tests.imaging.dicom_files import write_series
from tests.imaging.grids import affine_of
from tests.imaging.test_dicom_output import make
from tests.prediction.bodies import CT, body
from tests.prediction.prompts.test_slicer_segments import write_segments


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


def test_segments_are_one_label_for_one_name(tmp_path: Path) -> None:
    """As 3D Slicer saves corrected answers: cropped, with the segments of a file numbered from 1 on."""
    made = []
    for seed, names in ((1, {1: "liver", 2: "spleen"}), (2, {1: "spleen", 2: "liver"})):
        image, labels = body(seed, CT)
        voxels = labels.voxels if seed == 1 else np.array([0, 2, 1], np.uint8)[labels.voxels]
        mvg.write(image, tmp_path / f"q{seed}.nii.gz")
        write_segments(LabelMap(voxels, labels.affine), tmp_path / f"q{seed}.seg.nrrd", (3, 2, 0), names)
        made.append(AnsweredCase(f"q{seed}", tmp_path / f"q{seed}.nii.gz", tmp_path / f"q{seed}.seg.nrrd"))
    folder = tmp_path / "Dataset501_Organs"
    export_nnunet(made, folder, {})
    assert json.loads((folder / "dataset.json").read_text())["labels"] == {"background": 0, "liver": 1, "spleen": 2}
    for seed in (1, 2):
        assert np.array_equal(mvg.read_labels(folder / "labelsTr" / f"q{seed}.nii.gz").voxels, body(seed, CT)[1].voxels)


def test_every_volume_with_its_answer(tmp_path: Path) -> None:
    bodies = [body(seed, CT) for seed in range(3)]
    stacked = np.stack([image.voxels for image, _ in bodies], axis=-1)
    nibabel.save(nibabel.Nifti1Image(stacked, bodies[0][0].affine), tmp_path / "cine.nii.gz")
    (tmp_path / "answers").mkdir()
    for number, (_, labels) in enumerate(bodies):
        mvg.write(labels, tmp_path / "answers" / f"cine_{number}.nii.gz")
    queries, labels_folder, folder = [tmp_path / "cine.nii.gz"], tmp_path / "answers", tmp_path / "Dataset501_Organs"
    with pytest.raises(FileError, match=r"no answer to cine; .* or name the --volume or --series as before"):
        export_data_set(Answered(queries, labels_folder), folder, None)
    export_data_set(Answered(queries, labels_folder, volume="all"), folder, None)
    for number, (image, labels) in enumerate(bodies):
        assert np.array_equal(mvg.read(folder / "imagesTr" / f"cine_{number}_0000.nii.gz").voxels, image.voxels)
        assert np.array_equal(mvg.read_labels(folder / "labelsTr" / f"cine_{number}.nii.gz").voxels, labels.voxels)


def test_segmentations_of_series_are_found(tmp_path: Path) -> None:
    """`mvg predict --format dicom-seg` adds to the name of the series, and each file has the segments that occur."""
    (tmp_path / "answers").mkdir()
    sources = [write_series(tmp_path / name, affine_of(np.diag([-1.0, -1.0, 1.0]))) for name in ("ct.1", "ct.2")]
    volume, labels, reference = make(sources[0])
    terms = terms_of([3, 7], {3: "liver", 7: "graft"})
    write_segmentation(labels, terms, reference, tmp_path / "answers" / "ct.1_seg.dcm")
    alone = LabelMap(np.where(labels.voxels == 7, 7, 0), volume.affine)
    write_segmentation(alone, terms, reference, tmp_path / "answers" / "ct.2_seg.dcm")
    folder = tmp_path / "Dataset501_Organs"
    export_data_set(Answered(sources, tmp_path / "answers"), folder, None)
    assert json.loads((folder / "dataset.json").read_text())["labels"] == {"background": 0, "liver": 1, "graft": 2}
    whole, second = (mvg.read_labels(folder / "labelsTr" / f"{source.name}.nii.gz").voxels for source in sources)
    assert np.array_equal(whole, np.array([0, 0, 0, 1, 0, 0, 0, 2])[labels.voxels])
    assert np.array_equal(second, np.where(labels.voxels == 7, 2, 0))


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
