"""`mvg evaluate` from two folders to a table, CSV files and a page."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mvg.imaging.files import read, read_labels, write
from mvg.imaging.volume import LabelMap, Volume
from tests.journeys.conftest import Result, Run, picture, put
from tests.prediction.scans import scan

FILES = ("results.csv", "summary.csv", "report.html")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two predictions, of which the second lacks half of the rows, and their truths."""
    for number in range(2):
        _, labels = scan((32, 32, 4), seed=number)
        voxels = labels.voxels.copy()
        voxels[: 16 * number] = 0
        put(labels, tmp_path / "labels" / f"case{number}.nii.gz")
        put(LabelMap(voxels, labels.affine), tmp_path / "predictions" / f"case{number}.mha")
    return tmp_path / "predictions", tmp_path / "labels"


def one_clear_line(result: Result) -> str:
    lines = result.err.strip().splitlines()
    assert result.code == 2, result
    assert result.out == ""
    assert len(lines) == 1, result.err
    assert lines[0].startswith("mvg: ")
    assert "; expected " in lines[0]
    return lines[0]


def test_a_table_is_printed_and_the_files_are_written(run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
    result = run("evaluate", *folders, "--output", tmp_path / "deep" / "out")
    assert (result.code, result.err) == (0, "")
    head, *rows, results, summary, page = result.out.strip().splitlines()
    assert head.split() == ["cases", "Dice", "IoU", "NSD", "HD95", "(mm)"]
    assert [row.split()[0] for row in rows] == ["label", "label", "all"]
    assert [Path(path).name for path in (results, summary, page)] == list(FILES)
    assert sorted(path.name for path in (tmp_path / "deep" / "out").iterdir()) == sorted(FILES)


def test_predictions_of_mvg_against_their_truth(
    run: Run, user: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copy(user / "prompts" / "images" / "case0.nii.gz", user / "case0.nii.gz")
    common = ("--prompts", user / "prompts", "--output", out, "--weights", weights)
    assert run("predict", user / "case0.nii.gz", *common, "--uncertainty", "--quality").code == 0
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(user / "prompts" / "images")
    (user / "prompts" / "targets" / "case1.nii.gz").unlink()
    result = run("evaluate", out, user / "prompts" / "targets", "--images", user, "-q")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert (tmp_path / "runs" / "evaluation" / "report.html").exists()


def test_a_case_without_a_partner_is_a_line_and_the_others_are_written(
    run: Run, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    (folders[1] / "case1.nii.gz").rename(folders[1] / "other.nii.gz")
    result = run("evaluate", *folders, "--output", tmp_path / "out")
    assert result.code == 1
    assert [line.split("' has no ")[1].split(";")[0] for line in result.err.splitlines()] == ["prediction", "truth"]
    assert len((tmp_path / "out" / "results.csv").read_text().splitlines()) == 3


def test_many_lines_are_counted(run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
    for number in range(15):
        shutil.copy(folders[1] / "case0.nii.gz", folders[1] / f"more{number}.nii.gz")
    result = run("evaluate", *folders, "--output", tmp_path / "out", "-q")
    assert result.code == 1
    assert len(result.err.splitlines()) == 11
    assert "5 more" in result.err.splitlines()[-1]


def test_pictures(run: Run, tmp_path: Path) -> None:
    put(picture(), tmp_path / "truth.png")
    put(picture(seed=1), tmp_path / "prediction.png")
    result = run("evaluate", tmp_path / "prediction.png", tmp_path / "truth.png", "--output", tmp_path / "out")
    assert (result.code, result.err) == (0, "")
    assert result.out.split("\n")[0].split() == ["cases", "PSNR", "(dB)", "SSIM", "MAE"]


class TestBadInput:
    def test_another_shape(self, run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
        labels = read_labels(folders[0] / "case0.mha")
        write(LabelMap(labels.voxels[..., 1:], labels.affine), folders[0] / "case0.mha")
        files = (folders[0] / "case0.mha", folders[1] / "case0.nii.gz")
        line = one_clear_line(run("evaluate", *files, "--output", tmp_path / "out"))
        assert "shape 32 x 32 x 3 and 32 x 32 x 4" in line
        assert not (tmp_path / "out").exists()

    def test_another_spacing_and_origin(self, run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
        labels = read_labels(folders[0] / "case0.mha")
        affine = labels.affine @ np.diag([1, 1, 2, 1]) + 3 * np.eye(4, k=3)
        write(LabelMap(labels.voxels, affine), folders[0] / "case0.mha")
        files = (folders[0] / "case0.mha", folders[1] / "case0.nii.gz")
        line = one_clear_line(run("evaluate", *files, "--output", tmp_path / "out"))
        assert "spacing 1.2 x 1.2 x 10 and 1.2 x 1.2 x 5 mm, origin " in line

    def test_no_common_name(self, run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
        for number in range(2):
            (folders[1] / f"case{number}.nii.gz").rename(folders[1] / f"{number}.nii.gz")
        line = one_clear_line(run("evaluate", *folders, "--output", tmp_path / "out"))
        assert "case0.mha, case1.mha" in line
        assert "0.nii.gz, 1.nii.gz" in line

    def test_no_common_label(self, run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
        for number in range(2):
            labels = read_labels(folders[0] / f"case{number}.mha")
            write(LabelMap((labels.voxels > 0).astype(np.uint8), labels.affine), folders[0] / f"case{number}.mha")
        line = one_clear_line(run("evaluate", *folders, "--output", tmp_path / "out"))
        assert "predictions have the labels 1, their truth 3, 700" in line

    def test_fractions_instead_of_labels(self, run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
        volume = read(folders[0] / "case0.mha")
        write(Volume(volume.voxels / 2 + 0.25, volume.affine), folders[0] / "case0.mha")
        files = (folders[0] / "case0.mha", folders[1] / "case0.nii.gz")
        assert "case0.mha' holds fractions" in one_clear_line(run("evaluate", *files, "--output", tmp_path / "out"))

    @pytest.mark.parametrize("name", ["predictions", "labels"])
    def test_a_missing_folder(self, name: str, run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
        shutil.rmtree(tmp_path / name)
        assert f"{name}'" in one_clear_line(run("evaluate", *folders, "--output", tmp_path / "out"))

    def test_an_output_that_is_a_file(self, run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
        (tmp_path / "out").touch()
        assert "out'" in one_clear_line(run("evaluate", *folders, "--output", tmp_path / "out"))

    @pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write anywhere")
    def test_an_output_that_is_read_only(self, run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
        (tmp_path / "out").mkdir(mode=0o500)
        assert "out'" in one_clear_line(run("evaluate", *folders, "--output", tmp_path / "out"))
