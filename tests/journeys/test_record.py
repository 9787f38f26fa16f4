"""The record of a batch: manifest.json, report.html, what is done is kept, and a stop leaves whole files."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest

from mvg.imaging.files import read, read_labels, write
from mvg.imaging.volume import LabelMap, Volume
from tests.imaging.dicom_files import write_series
from tests.imaging.grids import affine_of
from tests.journeys.conftest import Run, put
from tests.prediction.scans import scan

MVG = [sys.executable, "-c", "from mvg.app.cli import main; main()"]


@pytest.fixture
def batch(user: Path, weights: Path, tmp_path: Path) -> list[object]:
    """A command for two queries."""
    put(scan((32, 32, 3), seed=11)[0], user / "other.nii.gz")
    queries = (user / "scan.nii.gz", user / "other.nii.gz")
    return ["predict", *queries, "--prompts", user / "prompts", "--weights", weights, "--output", tmp_path / "out"]


def manifest(tmp_path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    return content


def test_a_manifest_says_what_was_made_from_what(run: Run, batch: list[object], tmp_path: Path) -> None:
    assert run(*batch, "--quality").code == 0
    content = manifest(tmp_path)
    assert content["purpose"] == "research use only"
    assert len(content["prompts"]) == 4
    assert content["options"]["strategy"] == "alike_nearby"
    entry = content["answers"]["scan.nii.gz"]
    assert (entry["query"], entry["status"], entry["error"]) == ("scan.nii.gz", "done", None)
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in (entry["query_sha256"], *entry["files"].values()))
    labels = read_labels(tmp_path / "out" / "scan.nii.gz")
    voxel = abs(np.linalg.det(labels.affine[:3, :3])) / 1000
    volumes = {int(value): one["milliliters"] for value, one in entry["labels"].items()}
    expected = {value: pytest.approx((labels.voxels == value).sum() * voxel, abs=1e-3) for value in labels.values}
    assert volumes == expected
    assert str(tmp_path) not in json.dumps(content["answers"])


def test_a_page_shows_every_answer(run: Run, batch: list[object], user: Path, tmp_path: Path) -> None:
    (user / "broken.nii.gz").write_bytes(b"nothing")
    result = run(*batch, user / "broken.nii.gz", "--cross-check")
    assert result.code == 1
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "3 answers, 1 failed" in page
    assert page.count("<img alt='scan.nii.gz'") == page.count("<img alt='other.nii.gz'") == 1
    assert "broken.nii.gz" in page
    assert "Each prompt answered from the others" in page
    assert page.count("answered above, given below") == 2
    assert "src='http" not in page
    assert manifest(tmp_path)["answers"]["broken.nii.gz"]["status"] == "failed"


def test_what_is_done_is_kept(run: Run, batch: list[object], tmp_path: Path) -> None:
    first = run(*batch)
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.nii.gz")}
    again = run(*batch)
    assert (again.code, again.out) == (0, first.out)
    assert again.err == "mvg: 2 of 2 answers were done with the same options; --overwrite makes them again\n"
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.nii.gz")} == times
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<img alt='scan.nii.gz'") == 1, "pictures stay"
    assert run(*batch, "--resume").err == again.err
    assert run(*batch, "--overwrite").err == ""
    assert (tmp_path / "out" / "scan.nii.gz").stat().st_mtime_ns > times["scan.nii.gz"]


def test_what_is_kept_is_as_odd_as_it_was(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    image, _ = scan((32, 32, 3), seed=1)
    put(Volume(np.zeros(image.shape, np.float32), image.affine), user / "scan.nii.gz")
    common = ("--prompts", user / "prompts", "--weights", weights, "--output", tmp_path / "out", "-q")
    first, again = (run("predict", user / "scan.nii.gz", *common) for _ in range(2))
    assert "scan.nii.gz: all voxels are 0" in first.err
    assert again.err == first.err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("all voxels are 0") == 1


def change_query(user: Path, out: Path) -> None:
    put(scan((32, 32, 3), seed=12)[0], user / "scan.nii.gz")


def change_prompt(user: Path, out: Path) -> None:
    put(scan((32, 32, 3), seed=12)[0], user / "prompts" / "images" / "case0.nii.gz")


def damage_answer(user: Path, out: Path) -> None:
    (out / "scan.nii.gz").write_bytes(b"")


def damage_manifest(user: Path, out: Path) -> None:
    (out / "manifest.json").write_text("[]")


@pytest.mark.parametrize(
    ("change", "made"), [(change_query, 1), (change_prompt, 2), (damage_answer, 1), (damage_manifest, 2)]
)
def test_what_changed_is_made_again(
    change: Any, made: int, run: Run, batch: list[object], user: Path, tmp_path: Path
) -> None:
    run(*batch)
    change(user, tmp_path / "out")
    result = run(*batch)
    assert result.code == 0
    kept = f"mvg: {2 - made} of 2 answers were done with the same options; --overwrite makes them again\n"
    assert result.err == (kept if made < 2 else "")
    assert read_labels(tmp_path / "out" / "scan.nii.gz").shape == (32, 32, 3)


@pytest.mark.parametrize("options", [("--num-prompts", 1), ("--uncertainty",), ("--format", "nifti")])
def test_other_options_make_answers_again(options: tuple[object, ...], run: Run, batch: list[object]) -> None:
    run(*batch)
    assert run(*batch, *options).err == ""


def test_no_patient_is_named(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    def change(dataset: Any, number: int) -> None:
        dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Secret^Name", "secret-id", "19470101"

    folder = write_series(tmp_path / "export", affine_of(np.diag([-1.0, -1, 1])), change)
    common = ("--prompts", user / "prompts", "--weights", weights, "--output", tmp_path / "out")
    assert run("predict", folder, *common, "--format", "same").code == 0
    for name in ("manifest.json", "report.html"):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8").lower()
        assert not any(word in text for word in ("secret", "19470101"))
    assert pydicom.dcmread(tmp_path / "out" / "export_seg.dcm").PatientID == "secret-id"


def test_no_patient_is_in_a_task_file(run: Run, weights: Path, tmp_path: Path) -> None:
    def change(dataset: Any, number: int) -> None:
        dataset.PatientID = "secret-id"

    image = tmp_path / "prompts" / "images" / "a"
    image.mkdir(parents=True)
    volume = read(write_series(image, affine_of(np.diag([-1.0, -1, 1])), change))
    (tmp_path / "prompts" / "targets").mkdir()
    write(LabelMap(volume.voxels > 900, volume.affine), tmp_path / "prompts" / "targets" / "a.nii.gz")
    common = ("--prompts", tmp_path / "prompts", "--weights", weights, "--output", tmp_path / "out")
    result = run("predict", image, *common, "--save-task", tmp_path / "a.mvgtask")
    assert result.code == 0, result.err
    assert b"secret-id" not in (tmp_path / "a.mvgtask").read_bytes()
    assert "secret-id" in run("check", tmp_path / "prompts").out


def test_an_interruption_says_how_to_go_on(
    run: Run, batch: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mvg.prediction import engine_choice

    real = engine_choice.predict_file

    def stop_at_the_second(task: Any, job: Any, progress: Any) -> Any:
        if job.query.name == "other.nii.gz":
            raise KeyboardInterrupt
        return real(task, job, progress)

    monkeypatch.setattr(engine_choice, "predict_file", stop_at_the_second)
    result = run(*batch)
    assert result.code == 1
    assert "interrupted; 1 answers are written in" in result.err
    assert "run the same command again" in result.err
    monkeypatch.undo()
    assert "1 of 2 answers were done" in run(*batch).err


def whole_files_only(folder: Path) -> None:
    """No file in a folder is a part of one."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.name.startswith(".writing-"):  # of a process that was killed; the next run removes it
            continue
        if path.name.endswith(".nii.gz"):
            assert np.asarray(nib.load(path).dataobj).shape == (32, 32, 3)
        elif path.name == "manifest.json":
            json.loads(path.read_text(encoding="utf-8"))
        else:
            assert path.read_text(encoding="utf-8").endswith("</html>\n")


def test_a_killed_batch_leaves_whole_files_and_goes_on(batch: list[object], tmp_path: Path, run: Run) -> None:
    words = [*MVG, *map(str, batch)]
    generator, out = random.Random(0), tmp_path / "out"
    for moment in (generator.uniform(0, 0.3), generator.uniform(0, 0.6)):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and not out.exists():
            time.sleep(0.02)
        time.sleep(moment)
        with_group = os.getpgid(process.pid) if process.poll() is None else None
        if with_group is not None:
            os.killpg(with_group, signal.SIGKILL)
        process.wait()
        whole_files_only(out)
    assert run(*batch).code == 0
    assert {path.name for path in out.iterdir()} == {"scan.nii.gz", "other.nii.gz", "manifest.json", "report.html"}


@pytest.mark.parametrize("free", [0, 4096, 20480, 40960])
@pytest.mark.parametrize("options", [(), ("--uncertainty", "--probabilities")])
def test_a_full_disk_is_one_line_and_leaves_whole_files(
    free: int, options: tuple[str, ...], run: Run, batch: list[object], small_disk: Path
) -> None:
    (small_disk / "filler").write_bytes(os.urandom(100 * 1024 - free - 4096))
    out = small_disk / "out"
    result = run(*batch[:-1], out, *options)
    assert "Traceback" not in result.err
    if result.code:
        assert "space" in result.err
    whole = [path for path in out.rglob("*") if path.suffix == ".gz"] if out.exists() else []
    for path in whole:
        np.asarray(nib.load(path).dataobj)
    assert not list(small_disk.rglob(".writing-*"))
