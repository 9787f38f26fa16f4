"""Doubles: one patient under two names is noticed; neither alike images nor alike labels alone make a double."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mvg.data import open_folder
from mvg.data.case import DataSet, split_of
from mvg.data.doubles import queries_with_double
from tests.data.folders import body, write_description, write_image

NAMES = [f"case{number:03d}" for number in range(40)]
QUERY, PROMPT = (next(name for name in NAMES if split_of(name) == split) for split in ("val", "train"))
SHAPE = (90, 80, 5)
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]


def data_set(folder: Path, cases: Mapping[str, Pair]) -> DataSet:
    """A data set of images and labels."""
    for name, (image, labels) in cases.items():
        write_image(folder / f"imagesTr/{name}_0000.nii.gz", image)
        if labels is not None:
            write_image(folder / f"labelsTr/{name}.nii.gz", labels)
    facts = {"channel_names": {"0": "T1"}, "file_ending": ".nii.gz", "modality": "MRI", "region": "head"}
    return open_folder(write_description(folder, labels={"background": 0, "a": 1, "b": 2}, **facts))


def patient(seed: int, shift: tuple[float, float] = (0.0, 0.0)) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A body with a texture of its own, which noise of single voxels does not hide."""
    rng = np.random.default_rng(seed)
    image, labels = body(SHAPE, rng, shift)
    texture = np.kron(rng.integers(0, 90, (18, 16, SHAPE[2])), np.ones((5, 5, 1), np.int64))
    return np.where(image > 0, np.minimum(image + texture, 255), 0).astype(np.uint8), labels


def test_a_patient_under_another_name_is_noticed_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image, labels = patient(1)
    rng = np.random.default_rng(5)
    again = np.clip(1.1 * image + rng.integers(-6, 6, SHAPE), 0, 255).astype(np.uint8)[:, :, 1:]
    data = data_set(tmp_path, {PROMPT: (image, labels), QUERY: (again, labels[:, :, 1:])})
    with caplog.at_level(logging.WARNING, logger="mvg"):
        assert queries_with_double(data) == {QUERY: PROMPT}
    assert f"{QUERY} as {PROMPT}" in caplog.text


def test_patients_with_alike_labels_or_alike_images_are_no_doubles(tmp_path: Path) -> None:
    image, labels = patient(1)
    other_image, _ = patient(2)
    assert (
        queries_with_double(data_set(tmp_path / "one", {PROMPT: (image, labels), QUERY: (other_image, labels)})) == {}
    )
    moved = np.roll(labels, 30, axis=0)
    assert queries_with_double(data_set(tmp_path / "two", {PROMPT: (image, labels), QUERY: (image, moved)})) == {}


def test_without_labels_images_must_be_the_same(tmp_path: Path) -> None:
    image, labels = patient(1)
    empty = np.zeros_like(labels)
    other_image, _ = patient(2)
    assert queries_with_double(data_set(tmp_path / "one", {PROMPT: (image, None), QUERY: (image, None)})) == {
        QUERY: PROMPT
    }
    assert queries_with_double(data_set(tmp_path / "two", {PROMPT: (image, empty), QUERY: (image, empty)})) == {
        QUERY: PROMPT
    }
    assert queries_with_double(data_set(tmp_path / "three", {PROMPT: (image, None), QUERY: (other_image, None)})) == {}


def test_a_split_of_the_owners_is_taken_as_it_is(tmp_path: Path) -> None:
    data = data_set(tmp_path, {PROMPT: patient(1), QUERY: patient(1)})
    assert queries_with_double(data) == {QUERY: PROMPT}
    owned = replace(data, cases=tuple(replace(case, owner_split=case.split) for case in data.cases))
    assert queries_with_double(owned) == {}
