"""Folders of predictions are measured against folders of truths of the same names."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvg.benchmark.evaluation import evaluate
from mvg.benchmark.evaluation.file_pairs import match_files
from mvg.benchmark.statistics import Group, interval
from mvg.errors import FileError, GeometryError
from mvg.imaging.files import read_labels, write
from mvg.imaging.volume import LabelMap, Volume
from tests.prediction.scans import scan


def put(volume: Volume | LabelMap, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(volume, path)


def worse(labels: LabelMap, columns: int) -> LabelMap:
    """The labels without their first columns of voxels."""
    voxels = labels.voxels.copy()
    voxels[: 16 + columns] = 0
    return replace(labels, voxels=voxels)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and truths of three cases; the second is the worst, and the third is perfect."""
    for number, columns in enumerate((0, 5, -16)):
        _, labels = scan((32, 32, 4), seed=number)
        put(labels, tmp_path / "truths" / f"case{number}.nii.gz")
        put(worse(labels, columns), tmp_path / "predictions" / f"case{number}.nii.gz")
    return tmp_path / "predictions", tmp_path / "truths"


class TestMatching:
    def test_names_match_whatever_the_format_and_the_channel_number(self, tmp_path: Path) -> None:
        names = (
            "a_0000.nii.gz",
            "b.mha",
            "b_uncertainty.nii.gz",
            "b_probabilities.nii.gz",
            "quality.csv",
            "b.json.txt",
        )
        for name in names:
            (tmp_path / "p").mkdir(exist_ok=True)
            (tmp_path / "p" / name).touch()
        for name in ("a.nrrd", "b.nii", "dataset.json"):
            (tmp_path / "t").mkdir(exist_ok=True)
            (tmp_path / "t" / name).touch()
        (tmp_path / "p" / "logs").mkdir()
        matching = match_files(tmp_path / "p", tmp_path / "t")
        assert [(pair.name, pair.prediction.name, pair.truth.name) for pair in matching.pairs] == [
            ("a", "a_0000.nii.gz", "a.nrrd"), ("b", "b.mha", "b.nii"),
        ]  # fmt: skip
        assert matching.unmatched == ()

    def test_files_without_a_partner_are_named(self, folders: tuple[Path, Path]) -> None:
        predictions, truths = folders
        (truths / "case1.nii.gz").rename(truths / "other.nii.gz")
        matching = match_files(*folders)
        assert [pair.name for pair in matching.pairs] == ["case0", "case2"]
        lonely = [line.split("'")[1] for line in matching.unmatched]
        assert lonely == [str(truths / "other.nii.gz"), str(predictions / "case1.nii.gz")]

    def test_folders_without_a_common_name_are_refused(self, folders: tuple[Path, Path], tmp_path: Path) -> None:
        for path in folders[1].iterdir():
            path.rename(path.with_name("x" + path.name))
        with pytest.raises(FileError, match=r"case0.nii.gz, case1.*xcase0.nii.gz, xcase1"):
            match_files(*folders)

    def test_a_file_beside_a_folder_is_refused(self, folders: tuple[Path, Path]) -> None:
        with pytest.raises(FileError, match="two folders or two files"):
            match_files(folders[0] / "case0.nii.gz", folders[1])
        with pytest.raises(FileError, match="no file or folder"):
            match_files(folders[0] / "gone", folders[1])


class TestEvaluation:
    def test_the_worst_case_comes_first_and_means_have_intervals(self, folders: tuple[Path, Path]) -> None:
        steps = []
        evaluation = evaluate(*folders, progress=lambda done, total: steps.append((done, total)))
        assert steps == [(1, 3), (2, 3), (3, 3)]
        dice = [case.scores.overall[0] for case in evaluation.cases]
        assert [case.name for case in evaluation.cases] == ["case1", "case0", "case2"]
        assert dice == sorted(dice)
        assert dice[-1] == 1
        assert [row.part for row in evaluation.summaries] == [3, 700, "all labels"]
        figures = {(case.name, case.name): case.scores.overall[0] for case in evaluation.cases}
        assert evaluation.summaries[-1].intervals[0] == interval([Group("", figures)])
        assert evaluation.errors == evaluation.notes == ()

    def test_two_files(self, folders: tuple[Path, Path]) -> None:
        evaluation = evaluate(folders[0] / "case1.nii.gz", folders[1] / "case1.nii.gz")
        assert [case.name for case in evaluation.cases] == ["case1"]

    @pytest.mark.parametrize("side", [0, 1])
    def test_axes_may_be_in_another_order(self, side: int, folders: tuple[Path, Path]) -> None:
        expected = evaluate(*folders)
        for path in folders[side].iterdir():
            labels = read_labels(path)
            write(LabelMap(labels.voxels[::-1].transpose(2, 0, 1), flipped(labels)), path)
        assert [case.scores for case in evaluate(*folders).cases] == [case.scores for case in expected.cases]

    def test_a_set_names_labels_and_patients(self, folders: tuple[Path, Path], tmp_path: Path) -> None:
        predictions, truths = folders
        truths.rename(tmp_path / "labelsTr")
        for number in range(3):
            put(scan((32, 32, 4), seed=number)[0], tmp_path / "imagesTr" / f"case{number}_0000.nii.gz")
        content = {"labels": {"background": 0, "box": 3, "ignore": 700}, "patient": "case[01]?"}
        (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": {"0": "MRI"}, **content}))
        evaluation = evaluate(predictions, tmp_path / "labelsTr")
        assert evaluation.name_of(3) == "box"
        assert sorted({case.patient for case in evaluation.cases}) == ["case", "case0", "case1"]
        assert not [row for row in evaluation.summaries if row.part == 700], "nothing counts where the truth ignores"

    def test_other_grids_and_fractions_are_errors_of_their_case(self, folders: tuple[Path, Path]) -> None:
        predictions, _ = folders
        first = read_labels(predictions / "case0.nii.gz")
        write(LabelMap(first.voxels[1:], first.affine), predictions / "case0.nii.gz")
        write(
            Volume(read_labels(predictions / "case1.nii.gz").voxels + 0.5, first.affine), predictions / "case1.nii.gz"
        )
        evaluation = evaluate(*folders)
        assert [case.name for case in evaluation.cases] == ["case2"]
        assert "shape 31 x 32 x 4 and 32 x 32 x 4" in evaluation.errors[0]
        assert "holds fractions" in evaluation.errors[1]
        (predictions / "case2.nii.gz").write_bytes(b"broken")
        with pytest.raises(FileError, match=r"none of 3 cases can be evaluated.*shape"):
            evaluate(*folders)
        with pytest.raises(GeometryError, match="shape"):
            evaluate(predictions / "case0.nii.gz", folders[1] / "case0.nii.gz")

    def test_a_label_of_one_side_is_noted_and_counts_with_zero(self, folders: tuple[Path, Path]) -> None:
        for path in folders[1].iterdir():
            labels = read_labels(path)
            write(replace(labels, voxels=np.where(labels.voxels == 700, 9, labels.voxels)), folders[0] / path.name)
        evaluation = evaluate(*folders)
        assert [(row.part, row.missing, row.extra) for row in evaluation.summaries] == [
            (3, 0, 0), (9, 0, 3), (700, 3, 0), ("all labels", 0, 0),
        ]  # fmt: skip
        assert len(evaluation.notes) == 2
        assert "label 9 is in predictions only" in evaluation.notes[0]
        assert "label 700 is in truth only" in evaluation.notes[1]

    def test_no_common_label_is_an_error(self, folders: tuple[Path, Path]) -> None:
        for path in folders[0].iterdir():
            labels = read_labels(path)
            write(replace(labels, voxels=(labels.voxels > 0).astype(np.uint8)), path)
        with pytest.raises(FileError, match="predictions have the labels 1, their truth 3, 700"):
            evaluate(*folders)

    def test_nothing_predicted_is_measured(self, folders: tuple[Path, Path]) -> None:
        for path in folders[0].iterdir():
            labels = read_labels(path)
            write(replace(labels, voxels=0 * labels.voxels), path)
        assert [row.missing for row in evaluate(*folders).summaries] == [3, 3, 0]

    def test_the_image_instead_of_its_predicted_labels_is_refused(self, tmp_path: Path) -> None:
        image, labels = scan((32, 32, 4), seed=0)
        put(replace(image, voxels=image.voxels.round().astype(np.int16)), tmp_path / "image.nii.gz")
        put(labels, tmp_path / "truth.nii.gz")
        with pytest.raises(FileError, match="looks like a picture"):
            evaluate(tmp_path / "image.nii.gz", tmp_path / "truth.nii.gz")

    def test_labels_measured_against_a_picture_are_noted(self, tmp_path: Path) -> None:
        image, labels = scan((32, 32, 4), seed=0)
        put(image, tmp_path / "image.nii.gz")
        put(labels, tmp_path / "labels.nii.gz")
        (note,) = evaluate(tmp_path / "labels.nii.gz", tmp_path / "image.nii.gz").notes
        assert "has 3 intensities alone and looks like labels" in note

    def test_pictures(self, tmp_path: Path) -> None:
        for number in range(2):
            image, _ = scan((32, 32, 4), seed=number)
            put(image, tmp_path / "truths" / f"case{number}.nii.gz")
            noisy = image.voxels + (3 + 3 * number) * np.random.default_rng(0).normal(size=image.shape)
            put(replace(image, voxels=noisy), tmp_path / "predictions" / f"case{number}.nii.gz")
        evaluation = evaluate(tmp_path / "predictions", tmp_path / "truths")
        assert evaluation.target_type == "image"
        assert [case.name for case in evaluation.cases] == ["case1", "case0"]
        assert [row.part for row in evaluation.summaries] == ["body", "whole"]
        assert not evaluation.notes


def flipped(labels: LabelMap) -> np.ndarray:
    """The affine of voxels[::-1].transpose(2, 0, 1)."""
    affine = labels.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (labels.shape[0] - 1)
    affine[:3, 0] *= -1
    return affine[:, [2, 0, 1, 3]]
