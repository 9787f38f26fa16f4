"""Prompts whose headers leave something in doubt are named in a line, once for all of them."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import mvg
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.prompts.header_notes import HeaderNotes
from tests.prediction.bodies import AFFINE, body
from tests.prediction.learner import random_model

few = settings(max_examples=7, suppress_health_check=[HealthCheck.function_scoped_fixture])
SIZE = 20


def notes_of(caplog: pytest.LogCaptureFixture, *pairs: tuple[Volume, Volume | LabelMap]) -> list[str]:
    caplog.clear()
    notes = HeaderNotes()
    with caplog.at_level(logging.WARNING, "mvg"):
        for number, (image, target) in enumerate(pairs, 1):
            notes.check(image, target, str(number))
    return caplog.messages


@few
@given(orientation=st.integers(1, 8), of_mask=st.booleans())
def test_photographs_that_are_turned_beside_masks_that_are_not(
    orientation: int, of_mask: bool, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = np.arange(SIZE * SIZE, dtype=np.uint8).reshape(SIZE, SIZE)
    exif = Image.Exif()
    exif[0x0112] = orientation
    with TemporaryDirectory() as folder:
        Image.fromarray(pixels).save(Path(folder) / "image.jpg", exif=exif)
        Image.fromarray(pixels).save(Path(folder) / "mask.png", **({"exif": exif} if of_mask else {}))
        pair = mvg.read(Path(folder) / "image.jpg"), mvg.read_labels(Path(folder) / "mask.png")
    expected = 1 if orientation > 1 and not of_mask else 0
    messages = notes_of(caplog, pair, pair)
    assert len(messages) == expected
    assert all("picture of prompt 1 is turned" in message for message in messages)


@few
@given(number=st.integers(0, 2), value=st.floats(-1000, 1000), is_labeled=st.booleans())
def test_labels_on_slices_that_show_nothing(
    number: int, value: float, is_labeled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    image, labels = body(1)
    voxels, drawn = np.array(image.voxels), np.array(labels.voxels)
    voxels[:, :, number] = value
    drawn[:, :, number] *= is_labeled
    messages = notes_of(caplog, (Volume(voxels, AFFINE), LabelMap(drawn, AFFINE)))
    assert len(messages) == is_labeled
    assert all(f"one intensity alone on slice {number + 1} of 3" in message for message in messages)


def test_prompts_of_one_name_are_looked_at_each(caplog: pytest.LogCaptureFixture) -> None:
    (image, labels), names = body(1), ("scan", "scan")
    voxels = np.array(image.voxels)
    voxels[:, :, 1] = 0
    predictor = mvg.Predictor(random_model(), "random")
    predictor.prompt([image, Volume(voxels, AFFINE)], [labels, labels], names=names)
    assert sum("one intensity alone on slice 2 of 3" in record.getMessage() for record in caplog.records) == 1


@few
@given(shift=st.floats(2, 90))
def test_images_with_two_positions(shift: float, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    image, labels = body(1)
    stored = nib.Nifti1Image(image.voxels, AFFINE)
    other = AFFINE.copy()
    other[1, 3] += shift
    stored.header.set_qform(other, 1)
    stored.header.set_sform(AFFINE, 1)
    nib.save(stored, tmp_path / "image.nii.gz")
    twofold = mvg.read(tmp_path / "image.nii.gz")
    (message,) = notes_of(caplog, (image, labels), (twofold, labels), (twofold, labels))
    assert message.startswith("sform and qform of the image of prompt 2 differ")
