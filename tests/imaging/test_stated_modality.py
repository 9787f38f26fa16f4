"""DICOM states its modality, which decides before any guess from intensities."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from mvg.imaging.files import read, write
from mvg.imaging.stated_modality import stated_modality, states_other_than_ct
from mvg.imaging.volume import Header, LabelMap, Volume
from mvg.prediction.oddities import query_oddities
from mvg.prediction.options import PredictionOptions
from tests.prediction.bodies import CT, body, predictor, task_of


def tagged(volume: Volume, modality: str) -> Volume:
    return Volume(volume.voxels, volume.affine, Header("dicom", modality.encode(), volume.affine.tobytes()))


@pytest.mark.parametrize(("name", "modality"), [("CT_small.dcm", "CT"), ("MR_small.dcm", "MR")])
def test_the_modality_of_dicom_files(name: str, modality: str, tmp_path: Path) -> None:
    image = read(get_testdata_file(name, download=False))
    assert stated_modality(image) == modality
    assert states_other_than_ct(image) == (modality == "MR")
    write(image, tmp_path / "image.nii.gz")
    again = read(tmp_path / "image.nii.gz")
    assert stated_modality(again) is None
    np.testing.assert_allclose(again.affine, image.affine, atol=1e-4)


def test_a_stated_modality_decides() -> None:
    """A scan that looks like CT and states MR is windowed by its percentiles."""
    image, labels = body(1, CT)
    options = PredictionOptions(zoom="off")
    assert predictor().prompt([tagged(image, "MR")], [labels], options=options).prompts.modality == "other"
    bright = Volume(np.abs(image.voxels) + 7, image.affine)
    assert predictor().prompt([tagged(bright, "CT")], [LabelMap(labels.voxels, labels.affine)]).prompts.modality == "CT"


def test_another_modality_than_that_of_the_prompts_is_odd() -> None:
    task = task_of(CT)
    (oddity,) = query_oddities(tagged(body(9, CT)[0], "MR"), task.prompts, task.spec)[:1]
    assert oddity.kind == "intensities"
    assert "states" in oddity.message or "says that it is MR" in oddity.message
