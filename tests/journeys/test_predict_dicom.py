"""`mvg predict` on DICOM exports: the series, the formats, and what is said."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from mvg.imaging.dicom.segmentation import write_segmentation
from mvg.imaging.dicom.terms import terms_of
from mvg.imaging.files import read, read_labels
from tests.imaging.dicom_files import add_series, write_series
from tests.imaging.dicom_readers import segments_by_dcmqi
from tests.imaging.grids import affine_of
from tests.imaging.test_dicom_output import make
from tests.journeys.conftest import Run


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A study with a series, and a stray image of another one."""
    folder = write_series(tmp_path / "export", affine_of(np.diag([-1.0, -1.0, 1.0])))
    add_series(folder, 1, "1.2.99999999")
    return folder


def test_labels_are_written_as_dicom(run: Run, export: Path, user: Path, weights: Path, tmp_path: Path) -> None:
    labels = {"background": 0, "liver": 3, "my organ": 700}
    description = {"channel_names": {"0": "T1"}, "labels": labels, "file_ending": ".nii.gz"}
    (user / "nnunet" / "dataset.json").write_text(json.dumps(description))
    (tmp_path / "codes.csv").write_text("label,scheme,value,meaning\nmy organ,99X,42,Organ of mine\n")
    common = ("predict", export, "--prompts", user / "nnunet", "--weights", weights, "--min-probability", 0)
    out = {name: tmp_path / name for name in ("nifti", "dicom-seg", "rtstruct", "same")}
    for name, folder in out.items():
        result = run(*common, "--output", folder, "--format", name, "--codes", tmp_path / "codes.csv", "--uncertainty")
        assert result.code == 0, result.err
        assert "holds 2 series; the largest" in result.err
        assert result.err.count("holds 2 series") == 1, "notes are not repeated when files are written"
    truth = read_labels(out["nifti"] / "export.nii.gz")
    values = np.array([0, *truth.values])
    for name in ("dicom-seg", "same"):
        numbers = segments_by_dcmqi(out[name] / "export_seg.dcm", read(export))
        np.testing.assert_array_equal(values[numbers], truth.voxels)
    segments = pydicom.dcmread(out["same"] / "export_seg.dcm").SegmentSequence
    assert {segment.SegmentLabel for segment in segments} <= {"liver", "my organ"}
    assert {segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for segment in segments} <= {
        "Liver",
        "Organ of mine",
    }
    assert (out["rtstruct"] / "export_rtstruct.dcm").exists()
    assert pydicom.dcmread(out["same"] / "export_uncertainty.dcm").Modality == "OT"


def test_segmentations_are_labels_of_prompts(run: Run, export: Path, weights: Path, tmp_path: Path) -> None:
    """As a viewer of a PACS writes them: named, numbered in any order, without frames where nothing is labeled."""
    for case, names in (("a", {3: "left kidney", 7: "graft"}), ("b", {3: "graft", 7: "left kidney"})):
        source = tmp_path / "prompts" / "images" / case
        source.mkdir(parents=True)
        _, labels, reference = make(write_series(source, affine_of(np.diag([-1.0, -1.0, 1.0]))))
        (tmp_path / "prompts" / "targets").mkdir(exist_ok=True)
        write_segmentation(labels, terms_of([3, 7], names), reference, tmp_path / "prompts" / "targets" / f"{case}.dcm")
    common = ("--prompts", tmp_path / "prompts", "--weights", weights, "--output", tmp_path / "out")
    result = run("predict", export, *common, "--format", "dicom-seg", "--min-probability", 0)
    assert result.code == 0, result.err
    assert "the segments of prompt 2 have other numbers" in result.err
    written = pydicom.dcmread(tmp_path / "out" / "export_seg.dcm")
    assert {segment.SegmentLabel for segment in written.SegmentSequence} <= {"left kidney", "graft"}
    report = run("check", tmp_path / "prompts")
    assert report.code == 0
    assert "on 3 slices" in report.out


def test_pictures_are_written_as_a_series(run: Run, export: Path, user: Path, weights: Path, tmp_path: Path) -> None:
    common = ("predict", export, "--prompts", user / "prompts", "--weights", weights, "--task", "denoising", "-q")
    result = run(*common, "--output", tmp_path / "out", "--format", "same")
    assert result.code == 0, result.err
    assert run(*common, "--output", tmp_path / "nifti").code == 0
    picture = read(tmp_path / "nifti" / "export.nii.gz")
    np.testing.assert_allclose(read(tmp_path / "out" / "export_series").voxels, picture.voxels, atol=0.51)
    result = run(*common, "--output", tmp_path / "seg", "--format", "dicom-seg")
    assert (result.code, "--format dicom-seg for a task that predicts pictures" in result.err) == (2, True)


def test_outlines_and_every_series_of_a_study(
    run: Run, export: Path, user: Path, weights: Path, tmp_path: Path
) -> None:
    common = ("predict", export, "--prompts", user / "prompts", "--weights", weights, "--output", tmp_path / "out")
    assert run(*common, "--series", "all", "--outlines", "-q").code == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert sum(name.endswith(".nii.gz") for name in names) == 2
    assert sum(name.endswith("_outlines") for name in names) == 2


def test_formats_of_dicom_need_dicom(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    common = ("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--weights", weights)
    for options in (("--format", "rtstruct"), ("--outlines",), ("--series", "1.2.3")):
        result = run(*common, "--output", tmp_path / "out", *options)
        assert result.code == 2
        assert result.err.count("\n") == 1
        assert "DICOM" in result.err
