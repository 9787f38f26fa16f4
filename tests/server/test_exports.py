"""Exports: labels in each study's own format and grid, an nnU-Net data set, measurements, task files."""

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import mvg
from mvg.imaging.files import read, read_labels, write
from mvg.imaging.volume import LabelMap, Volume
from tests.server.clients import Client, make_studies, numbers_of, ras, serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A NIfTI file, an .mha file in a folder, and a color picture."""
    make_studies(tmp_path / "studies", 1)
    (tmp_path / "studies" / "sub").mkdir()
    write(read(tmp_path / "studies" / "scan0.nii.gz"), tmp_path / "studies" / "sub" / "scan0.mha")
    colors = np.random.default_rng(0).integers(0, 255, (20, 24, 1, 3)).astype(np.float32)
    write(Volume(colors, np.diag([-1.0, -1, 1, 1])), tmp_path / "studies" / "skin.jpg")
    return tmp_path / "studies"


def accepted(client: Client, study, painted: np.ndarray, task=None):
    """The task of a study whose labels were painted and accepted."""
    task = task or client.task()
    session = client.session(task, study)
    for index in range(painted.shape[2]):
        client.correct(session, 2, index, painted[:, :, index])
    client.post(f"/sessions/{session['id']}/finish")
    return task


def archive(client: Client, path: str, **query: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(client.content(path, **query)))


def test_all_labels_in_the_formats_of_the_studies(client: Client, folder: Path, truths, tmp_path: Path) -> None:
    painted, task = ras(truths[0], numbers_of(truths[0])), client.task()
    drawn = np.zeros((20, 24, 1), np.uint8)
    drawn[2:5, 3] = 2
    for study in client.studies():
        accepted(client, study, drawn if study["kind"] == "picture" or study["format"] == ".jpg" else painted, task)
    files = archive(client, f"/tasks/{task['id']}/export/labels.zip")
    assert sorted(files.namelist()) == ["scan0.nii.gz", "skin.png", "sub/scan0.mha"]
    files.extractall(tmp_path / "out")
    for name in ("scan0.nii.gz", "sub/scan0.mha"):
        labels = read_labels(tmp_path / "out" / name)
        assert np.array_equal(labels.voxels, truths[0].voxels)
        assert labels.same_grid(read(folder / name), tolerance=0.0)
    pixels = read_labels(tmp_path / "out" / "skin.png").voxels
    assert np.array_equal(pixels[::-1, ::-1], 700 * (drawn == 2))


def test_a_data_set_for_nnunet(client: Client, truths, tmp_path: Path) -> None:
    study = client.studies(search="scan0.nii")[0]
    task = accepted(client, study, ras(truths[0], numbers_of(truths[0])))
    files = archive(client, f"/tasks/{task['id']}/export/nnunet.zip")
    files.extractall(tmp_path / "set")
    facts = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert facts["labels"] == {"background": 0, "box": 1, "small box": 2}
    assert facts["original_label_values"] == {"1": 3, "2": 700}
    assert facts["numTraining"] == 1
    (image,) = (tmp_path / "set" / "imagesTr").iterdir()
    (labels,) = (tmp_path / "set" / "labelsTr").iterdir()
    assert image.name == labels.name.replace(".nii.gz", "_0000.nii.gz")
    assert np.array_equal(read_labels(labels).voxels, numbers_of(truths[0]))
    assert read_labels(labels).same_grid(read(image), tolerance=0.0)


def test_the_folder_of_finished_labels_is_a_data_set(client: Client, truths, folder: Path) -> None:
    study = client.studies(search="scan0.nii")[0]
    task = accepted(client, study, ras(truths[0], numbers_of(truths[0])))
    root = folder / "mvg" / "tasks" / task["id"]
    facts = json.loads((root / "dataset.json").read_text())
    ((name, case),) = facts["dataset"].items()
    assert (root / case["images"][0]).resolve() == folder / "scan0.nii.gz"
    assert np.array_equal(read_labels(root / case["label"]).voxels, truths[0].voxels)
    assert name in case["label"]


def test_measurements(client: Client, truths: list[LabelMap], folder: Path) -> None:
    study = client.studies(search="scan0.nii")[0]
    task = accepted(client, study, ras(truths[0], numbers_of(truths[0])))
    rows = list(csv.DictReader(io.StringIO(client.content(f"/tasks/{task['id']}/export/measurements.csv").decode())))
    assert [(row["label"], row["value"], row["state"]) for row in rows] == [
        ("box", "3", "done"), ("small box", "700", "done"),
    ]  # fmt: skip
    volume = mvg.read(folder / "scan0.nii.gz")
    for row in rows:
        inside = truths[0].voxels == int(row["value"])
        assert int(row["voxels"]) == inside.sum()
        assert float(row["ml"]) == pytest.approx(inside.sum() * 1.2 * 1.2 * 5 / 1000, abs=1e-3)
        assert float(row["mean"]) == pytest.approx(volume.voxels[inside].mean(), abs=1e-3)
        assert float(row["minimum"]) == pytest.approx(volume.voxels[inside].min(), abs=1e-3)
        assert float(row["mm up-down"]) == 30


def test_pixels_of_pictures_have_no_size(client: Client) -> None:
    study = client.studies(search="skin")[0]
    task = accepted(client, study, np.ones((20, 24, 1), np.uint8))
    rows = list(csv.DictReader(io.StringIO(client.content(f"/tasks/{task['id']}/export/measurements.csv").decode())))
    assert (rows[0]["voxels"], rows[0]["ml"], rows[0]["mm up-down"]) == ("480", "", "")


def test_a_task_file_serves_the_command_line_and_another_folder(client: Client, truths, tmp_path: Path) -> None:
    study = client.studies(search="scan0.nii")[0]
    task = client.task()
    assert "add an example" in client.get(f"/tasks/{task['id']}/export/task.mvgtask", status=409)["error"]
    session = client.session(task, study)
    for index in range(6):
        client.correct(session, 2, index, ras(truths[0], numbers_of(truths[0]))[:, :, index])
    client.post(f"/sessions/{session['id']}/finish", {"example": True})
    content = client.content(f"/tasks/{task['id']}/export/task.mvgtask")
    (tmp_path / "task.mvgtask").write_bytes(content)
    predictor = client.workbench.predictor
    assert predictor.load_task(tmp_path / "task.mvgtask").prompts.values == (3, 700)
    files = {"file": ("boxes.mvgtask", content)}
    imported = client.http.post("/api/v1/tasks/import", files=files)
    assert imported.status_code == 201, imported.text
    assert [label["value"] for label in imported.json()["labels"]] == [3, 700]
    other = client.session(imported.json(), client.studies(search="mha")[0])
    client.events(f"/sessions/{other['id']}/predict")
    assert np.array_equal(client.array(f"/sessions/{other['id']}/labels.nii"), ras(truths[0], numbers_of(truths[0])))


def test_nothing_to_export(client: Client) -> None:
    task = client.task()
    client.studies()
    for name in ("labels.zip", "nnunet.zip", "measurements.csv"):
        assert "accept a study first" in client.get(f"/tasks/{task['id']}/export/{name}", status=409)["error"]
    assert not list((client.workbench.workspace.root).glob(".export*"))


def test_a_session_goes_on_in_python(client: Client, truths, tmp_path: Path) -> None:
    study = client.studies(search="scan0.nii")[0]
    session = client.session(client.task(), study)
    painted = ras(truths[0], numbers_of(truths[0]))
    for index in (2, 3):
        client.correct(session, 2, index, painted[:, :, index])
    client.post(f"/sessions/{session['id']}/undo")
    (tmp_path / "a.mvgsession").write_bytes(client.content(f"/sessions/{session['id']}/corrections.mvgsession"))
    again = client.workbench.predictor.open_session(tmp_path / "a.mvgsession")
    assert again.values == (3, 700)
    assert len(again.corrections) == 1
    assert again.redo()
    assert len(again.corrections) == 2


def test_another_format_can_be_chosen(client: Client, truths, tmp_path: Path) -> None:
    study = client.studies(search="scan0.nii")[0]
    task = accepted(client, study, ras(truths[0], numbers_of(truths[0])))
    path = f"/sessions/{task['id']}.{study['id']}/export"
    (tmp_path / "out.nrrd").write_bytes(client.content(path, format=".nrrd"))
    assert np.array_equal(read_labels(tmp_path / "out.nrrd").voxels, truths[0].voxels)
    assert "choose" in client.get(path, status=422, format="/../x")["error"]


def test_anonymous_exports_name_no_patient(folder: Path, truths) -> None:
    with serving(folder, anonymous=True) as client:
        study = next(one for one in client.studies() if one["format"] == ".nii.gz")
        assert "scan0" not in json.dumps(client.get("/studies"))
        task = accepted(client, study, ras(truths[0], numbers_of(truths[0])))
        assert archive(client, f"/tasks/{task['id']}/export/labels.zip").namelist() == [
            f"study_{study['id'][:6]}.nii.gz"
        ]
        names = archive(client, f"/tasks/{task['id']}/export/nnunet.zip").namelist()
        assert not any("scan" in name for name in names)
        assert "scan" not in client.content(f"/tasks/{task['id']}/export/measurements.csv").decode()
        assert "start it again" in client.get(f"/studies/{study['id']}/header", status=403)["error"]
