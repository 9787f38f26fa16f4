"""DICOM studies leave as DICOM segmentations, label maps and structure sets of the series that they came from."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from mvg.imaging.files import read
from tests.imaging.dicom_files import write_series
from tests.imaging.dicom_readers import segments_by_dcmqi
from tests.imaging.grids import affine_of
from tests.server.clients import Client, make_studies, ras, serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A DICOM series, oblique and stored upside down, and a NIfTI file."""
    make_studies(tmp_path / "studies", 1)
    write_series(tmp_path / "studies" / "series", affine_of(np.diag([1.0, -1.0, -1.0]), tilt=(0.3, -0.2, 0.15)))
    return tmp_path / "studies"


def accepted(client: Client, folder: Path) -> tuple[Any, Any, NDArray[np.uint8]]:
    """A task, its session of the series, and the class numbers on the series' grid that were painted."""
    study = next(row for row in client.studies() if row["format"] == "dicom")
    task = client.task()
    session = client.session(task, study)
    volume = read(folder / "series")
    numbers = np.random.default_rng(0).integers(0, 3, volume.shape).astype(np.uint8)
    turned = ras(volume, numbers)
    for index in range(turned.shape[2]):
        client.correct(session, 2, index, turned[:, :, index])
    client.post(f"/sessions/{session['id']}/finish")
    return task, session, numbers


def test_a_segmentation_of_one_study(client: Client, folder: Path, tmp_path: Path) -> None:
    _, session, numbers = accepted(client, folder)
    reply = client.http.get(f"/api/v1/sessions/{session['id']}/export", params={"format": "dicom-seg"})
    assert 'filename="series_seg.dcm"' in reply.headers["content-disposition"]
    path = tmp_path / "seg.dcm"
    path.write_bytes(reply.content)
    assert np.array_equal(segments_by_dcmqi(path, read(folder / "series")), numbers)
    dataset = pydicom.dcmread(path)
    assert [segment.SegmentLabel for segment in dataset.SegmentSequence] == ["box", "small box"]
    source = pydicom.dcmread(next((folder / "series").iterdir()))
    assert dataset.StudyInstanceUID == source.StudyInstanceUID


@pytest.mark.parametrize(
    ("form", "modality", "name"),
    [
        ("dicom-seg", "SEG", "series_seg"),
        ("dicom-labelmap", "SEG", "series_seg"),
        ("rtstruct", "RTSTRUCT", "series_rtstruct"),
    ],
)
def test_all_studies_that_are_dicom(client: Client, folder: Path, form: str, modality: str, name: str) -> None:
    task, _, _ = accepted(client, folder)
    other = client.session(task, next(row for row in client.studies() if row["format"] != "dicom"))
    for index in range(6):
        client.correct(other, 2, index, np.ones((32, 32)))
    client.post(f"/sessions/{other['id']}/finish")
    content = client.content(f"/tasks/{task['id']}/export/dicom.zip", format=form)
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.namelist() == [f"{name}.dcm"]
    assert pydicom.dcmread(io.BytesIO(archive.read(f"{name}.dcm"))).Modality == modality


def test_what_is_no_dicom_is_refused_in_a_line(client: Client, folder: Path) -> None:
    study = next(row for row in client.studies() if row["format"] != "dicom")
    task = client.task()
    session = client.session(task, study)
    client.correct(session, 2, 0, np.ones((32, 32)))
    path = f"/sessions/{session['id']}/export"
    assert "a DICOM study" in client.get(path, status=422, format="dicom-seg")["error"]
    assert "dicom_seg" in client.get(path, status=422, format="dicom-sec")["error"]
    answer = client.get(f"/tasks/{task['id']}/export/dicom.zip", status=409, state="all")
    assert "no DICOM study with labels" in answer["error"]


def test_an_anonymous_server_makes_no_objects_that_name_the_patient(folder: Path) -> None:
    with serving(folder, anonymous=True) as client:
        task, session, _ = accepted(client, folder)
        for path in (f"/sessions/{session['id']}/export", f"/tasks/{task['id']}/export/dicom.zip"):
            assert "may name the patient" in client.get(path, status=403, format="rtstruct")["error"]
        assert client.content(f"/sessions/{session['id']}/export", format="nifti")
