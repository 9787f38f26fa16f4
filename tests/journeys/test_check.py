"""`mvg check` lists what prediction reads; `mvg predict` prints a line about what is odd, or refuses it."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import mvg
from mvg import Volume
from tests.journeys.conftest import Run
from tests.prediction.bodies import AFFINE, CT, body


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scans")
    for part in ("prompts/images", "prompts/targets"):
        (root / part).mkdir(parents=True)
    for seed in (1, 2):
        for part, volume in zip(("images", "targets"), body(seed), strict=True):
            mvg.write(volume, root / "prompts" / part / f"p{seed}.nii.gz")
    mvg.write(body(9)[0], root / "plain.nii.gz")
    mvg.write(body(9, CT)[0], root / "ct.nii.gz")
    mvg.write(Volume(np.zeros((8, 8, 2)), AFFINE), root / "black.nii.gz")
    return root


def test_check_lists_files_and_oddities(run: Run, scans: Path) -> None:
    done = run("check", scans / "prompts", scans / "plain.nii.gz", scans / "ct.nii.gz")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("prompt p1: other (no air and soft tissue as in CT), 0 to ")
    assert "56 x 48 x 3 voxels of 3 x 3 x 6 mm, LAS" in lines[0]
    assert lines[1].startswith("  labels 1: ")
    assert any(line.startswith("query plain.nii.gz: other") for line in lines)
    assert [line for line in lines if line.startswith("odd: ")] == [
        "odd: ct.nii.gz: CT in HU, but the prompts do not look like CT in HU"
    ]
    assert run("check", scans / "prompts", scans / "ct.nii.gz", "--strict").code == 1


def test_check_prints_json(run: Run, scans: Path) -> None:
    contents = json.loads(run("check", scans / "prompts", scans / "black.nii.gz", "--json").out)
    assert [file["name"] for file in contents["files"]] == ["p1", "p2", "black.nii.gz"]
    assert contents["files"][0]["labeled_slices"] == 3
    assert [(odd["file"], odd["kind"]) for odd in contents["oddities"]] == [("black.nii.gz", "constant")]


def test_predict_says_what_is_odd_and_strict_refuses_it(run: Run, scans: Path, tmp_path: Path) -> None:
    queries = [scans / "plain.nii.gz", scans / "ct.nii.gz"]
    options = ["--prompts", scans / "prompts", "--zoom", "off", "--output"]
    done = run("predict", *queries, *options, tmp_path / "out")
    assert done.code == 0
    assert done.err.strip() == "mvg: ct.nii.gz: CT in HU, but the prompts do not look like CT in HU"
    done = run("predict", *queries, *options, tmp_path / "strict", "--strict")
    assert done.code == 1
    assert "expected nothing odd" in done.err
    assert sorted(path.name for path in (tmp_path / "strict").glob("*.nii.gz")) == ["plain.nii.gz"]


def test_an_odd_answer_is_not_kept_where_what_is_odd_is_refused(run: Run, scans: Path, tmp_path: Path) -> None:
    command = ["predict", scans / "plain.nii.gz", scans / "ct.nii.gz", "--prompts", scans / "prompts", "--zoom", "off"]
    assert run(*command, "--output", tmp_path).code == 0
    again = run(*command, "--output", tmp_path, "--strict")
    assert again.code == 1
    assert "ct.nii.gz: CT in HU" in again.err
    assert "1 of 2 answers were done" in again.err


def test_check_names_the_channel_that_is_used(run: Run, user: Path) -> None:
    """Of prompts with two channels, that in the names of all queries, else the first."""
    for number in range(2):
        first = user / "nnunet" / "imagesTr" / f"case{number}_0000.nii.gz"
        mvg.write(
            Volume(1000 - mvg.read(first).voxels, mvg.read(first).affine), Path(str(first).replace("0000", "0001"))
        )
    about = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "a": 3, "b": 700}}
    (user / "nnunet" / "dataset.json").write_text(json.dumps(about))
    assert "channel 'T1' is used" in run("check", user / "nnunet").err
    shutil.copy(user / "scan.nii.gz", user / "scan_0001.nii.gz")
    done = run("check", user / "nnunet", user / "scan_0001.nii.gz")
    assert "channel 'T2' is used" in done.err
    assert " 0 to 1000, " not in done.out
    assert "is used" not in run("check", user / "nnunet", "--task", "segmentation:T2").err


def test_check_reads_as_prediction_does(run: Run, scans: Path, tmp_path: Path) -> None:
    """Of a file with time points one or each, and NaN as the user says."""
    image, _ = body(9)
    voxels = np.stack([image.voxels, image.voxels * 2], axis=-1)
    voxels[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(voxels, AFFINE), tmp_path / "cine.nii.gz")
    assert run("check", scans / "prompts", tmp_path / "cine.nii.gz").code == 2
    done = run("check", scans / "prompts", tmp_path / "cine.nii.gz", "--volume", "all", "--nan", 0)
    assert done.code == 0
    assert [line.split(":")[0] for line in done.out.splitlines() if line.startswith("query")] == [
        "query cine_0", "query cine_1"
    ]  # fmt: skip
