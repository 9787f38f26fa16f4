"""The pair that each kind of task makes of a slice."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mvg._plugins import contributions, named
from mvg.data import Card, Store, StoredSet, prepare
from mvg.data.store_index import INDEX
from mvg.errors import UnknownNameError
from mvg.imaging import Window
from mvg.tasks import Task, kinds, tasks_for
from mvg.tasks.kinds.inpainting import Inpainting, blob, body, draw_voids
from mvg.tasks.projection import low_dose_noise
from tests.data.folders import make_ct, make_mri, write_description, write_image


def prepared(folder: Path) -> StoredSet:
    prepare([folder], folder.parent / "store")
    return Store.open(folder.parent / "store").sets[folder.name]


def task_of(stored: StoredSet, name: str) -> Any:
    return next(task for task in tasks_for(stored.card) if task.name == name)


def heads(tmp_path: Path, **changes: Any) -> StoredSet:
    folder = make_mri(tmp_path / "heads", {"pat1": (60, 64, 3)}, channels=2)
    if changes:
        write_description(folder, **changes)
    return prepared(folder)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_segmentation_pairs_a_channel_with_the_labels(tmp_path: Path) -> None:
    stored = heads(tmp_path)
    (image,), target = task_of(stored, "segmentation:contrast 1").pair(stored[0], rng())
    assert np.array_equal(image, stored[0].picture(1))
    assert np.array_equal(target, stored[0].labels)


def test_slices_with_ignored_parts_are_no_pairs(tmp_path: Path) -> None:
    stored = heads(tmp_path, labels={"background": 0, "organ": 1, "ignore": 2})
    task = task_of(stored, "segmentation:channel 0")
    assert [task.accepts(row) for row in stored.rows] == [False, False, True], "the last slice shows no label"
    assert stored.rows[0].label_values == ()


def test_slices_that_were_not_annotated_are_no_pairs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = {"background": 0, "left organ": 1, "right tumor": 2}
    with caplog.at_level(logging.WARNING, "mvg"):
        stored = heads(tmp_path, labels=labels, annotated_slices={"pat1": [1]})
    assert "2 of 3 slices of heads were not annotated as a whole: they teach no labels" in caplog.text
    task = task_of(stored, "segmentation:channel 0")
    assert [row.number for row in stored.rows if task.accepts(row)] == [1]
    _, target = task.pair(stored[1], rng())
    assert set(np.unique(target)) == {0, 1, 2}


def test_stores_made_before_leave_out_slices_with_ignored_parts(tmp_path: Path) -> None:
    heads(tmp_path, labels={"background": 0, "organ": 1, "ignore": 2})
    index = tmp_path / "store" / "heads" / INDEX
    content = json.loads(index.read_text())
    for case in content["cases"]:
        del case["unannotated"]
        case["present"] = [[1, 2], [1], []]
    index.write_text(json.dumps(content))
    stored = Store.open(tmp_path / "store").sets["heads"]
    assert [row.has_labels for row in stored.rows] == [False, True, True]


def test_segmentation_of_ct_in_hu_uses_the_soft_tissue_window(tmp_path: Path) -> None:
    folder = make_ct(tmp_path / "ct")
    for case in ("scan0", "scan1"):
        write_image(folder / f"labelsTr/{case}.nii.gz", np.ones((96, 96, 1), np.uint8), np.diag([-2.0, -2.0, 5.0, 1.0]))
    stored = prepared(write_description(folder, channel_names={"0": "CT"}, modality="CT", labels={"all": 1}))
    (image,), _ = task_of(stored, "segmentation:CT").pair(stored[0], rng())
    assert image[48, 48] == pytest.approx((40 + 160) / 400, abs=1e-3)
    assert image[0, 0] == 0


def test_synthesis_pairs_one_contrast_with_another(tmp_path: Path) -> None:
    stored = heads(tmp_path)
    (image,), target = task_of(stored, "synthesis:contrast 1->contrast 0").pair(stored[1], rng())
    assert np.array_equal(image, stored[1].picture(1))
    assert np.array_equal(target, stored[1].picture(0))


def test_an_image_target_of_another_modality_is_synthesis(tmp_path: Path) -> None:
    stored = prepared(
        write_description(make_ct(tmp_path / "pairs", target=True), targets="targetsTr: MR", modality="other")
    )
    assert [task.kind for task in tasks_for(stored.card)] == ["synthesis"]
    (image,), target = task_of(stored, "synthesis:channel 0->MR").pair(stored[0], rng())
    assert image.std() > 0
    assert np.array_equal(target, stored[0].target_picture())


def test_inpainting_removes_a_region_of_the_body_and_its_target_is_the_complete_picture(tmp_path: Path) -> None:
    stored = heads(tmp_path, modality="MRI", region="brain", labels={"organ": 1, "other": 2})
    (image,), target = task_of(stored, "inpainting:channel 1").pair(stored[0], rng())
    voided = image != target
    assert 0.003 < voided.mean() < 0.3
    assert (image[voided] == 0).all()
    assert np.array_equal(target, stored[0].picture(1))


@pytest.mark.parametrize("seed", range(30))
def test_voids_keep_a_distance_from_lesions(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    stored = heads(tmp_path_factory.mktemp("lesion"))
    task = task_of(stored, "inpainting:contrast 0")
    void = task.void(stored[0], rng(seed))
    labels = stored[0].labels
    assert labels is not None
    assert void.any()
    assert not void[ndimage.binary_dilation(labels == 2, iterations=2)].any()  # "right tumor"


def test_a_label_that_names_the_void_provides_the_voids(tmp_path: Path) -> None:
    stored = heads(tmp_path, modality="MRI", labels={"void": 1, "lesion": 2}, channel_names={"0": "T1", "1": "T2"})
    task = task_of(stored, "inpainting:T1")
    (image,), target = task.pair(stored[0], rng())
    assert np.array_equal(image == 0, (stored[0].labels == 1) | (target == 0))
    assert [task.accepts(row) for row in stored.rows] == [True, True, False]  # the last slice has no label


def test_real_voided_images_are_used_unchanged(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "local", {"pat1": (60, 64, 3)})
    write_image(folder / "targetsTr/pat1.nii.gz", np.full((60, 64, 3), 60, np.uint8))
    stored = prepared(write_description(folder, channel_names={"0": "T1 voided"}, targets="T1", modality="MRI"))
    (task,) = (task for task in tasks_for(stored.card) if task.kind == "inpainting")
    (image,), target = task.pair(stored[0], rng())
    assert np.array_equal(image, stored[0].picture(0))
    window = stored[0].row.windows[0]  # one window for image and target
    assert target[stored[0].row.box.index] == pytest.approx(float(window.apply(np.full(1, 60.0))[0]), abs=1e-3)


@given(st.integers(0, 2**32 - 1))
def test_voids_are_smooth_and_inside_healthy_tissue(seed: int) -> None:
    healthy = np.hypot(*(np.mgrid[:96, :80] - np.array([48, 40])[:, None, None])) < 36
    void = draw_voids(healthy, rng(seed))
    assert void.any()
    assert not (void & ~healthy).any()
    assert void.sum() < 0.6 * healthy.sum()
    region = blob((96, 80), np.array([48, 40]), 12.0, rng(seed))
    assert ndimage.label(region)[1] == 1
    assert region.sum() > 0.8 * ndimage.binary_opening(region, iterations=2).sum() > 0.6 * region.sum()


def test_without_healthy_tissue_the_void_is_empty() -> None:
    assert not draw_voids(np.zeros((16, 16), bool), rng()).any()


def test_the_body_is_the_largest_component_with_its_holes_filled(tmp_path: Path) -> None:
    stored = prepared(make_ct(tmp_path / "ct"))
    y, x = np.mgrid[:96, :96] - 47.5
    assert np.array_equal(body(stored[0]), np.hypot(x, y) < 0.4 * 96)


@pytest.mark.parametrize(("dose", "window"), [("50%", ""), ("10%", ""), ("25%", ", lung")])
def test_denoising_adds_noise_to_a_crop_and_its_target_is_the_original(tmp_path: Path, dose: str, window: str) -> None:
    stored = prepared(make_ct(tmp_path / "ct"))
    task = task_of(stored, f"denoising:CT@{dose}{window}")
    crop = stored[0].crop(30, 30, 32)
    (image,), target = task.pair(crop, rng())
    assert np.allclose(target, Window.named("lung" if window else "soft tissue").apply(crop.raw(0)))
    assert 0.001 < np.abs(image - target).mean() < 0.2
    assert not np.array_equal(image, task.pair(crop, rng(1))[0][0])


def test_a_crop_has_the_noise_of_its_position_in_the_slice(tmp_path: Path) -> None:
    stored = prepared(make_ct(tmp_path / "ct"))
    crop = stored[0].crop(40, 12, 32)
    (image,), _ = task_of(stored, "denoising:CT@50%").pair(crop, rng())
    noise = low_dose_noise(stored[0].raw(0), 2.0, (40, 12, 32), 0.5, rng())
    assert np.allclose(image, Window.named("soft tissue").apply(crop.raw(0) + noise), atol=1e-5)


def test_lower_doses_are_noisier(tmp_path: Path) -> None:
    stored = prepared(make_ct(tmp_path / "ct"))
    errors = []
    for dose in ("50%", "25%", "10%"):
        (image,), target = task_of(stored, f"denoising:CT@{dose}").pair(stored[0].crop(30, 30, 32), rng())
        errors.append(np.abs(image - target).mean())
    assert errors[0] * 1.5 < errors[1] < errors[2] / 1.4


def test_real_pairs_are_used_unchanged(tmp_path: Path) -> None:
    stored = prepared(make_ct(tmp_path / "pairs", target=True))
    (image,), target = task_of(stored, "denoising:CT, low dose").pair(stored[0], rng())
    soft = Window.named("soft tissue")
    assert np.array_equal(image, soft.apply(stored[0].raw(0)))
    assert np.array_equal(target, soft.apply(stored[0].raw_target()))


def test_kinds_are_known_by_their_file_names() -> None:
    assert {"denoising", "inpainting", "segmentation", "synthesis"} <= set(contributions(kinds))
    assert named(kinds, "inpainting").Inpainting is Inpainting
    with pytest.raises(UnknownNameError, match=r"denoising, .*segmentation"):
        named(kinds, "nonesuch")


def test_ultrasound_offers_no_inpainting() -> None:
    card = Card("us", "us", "ultrasound", "breast", ("B-mode",), labels={1: "tumor"})
    stored: list[Task] = tasks_for(card)
    assert {task.kind for task in stored} == {"segmentation", "speckle"}
