"""What each kind of task makes of a slice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mvg._plugins import contributions, named
from mvg.data import Card, Store, StoredSet, prepare
from mvg.errors import UnknownNameError
from mvg.imaging import Window
from mvg.tasks import Task, kinds, tasks_for
from mvg.tasks.kinds.inpainting import Inpainting, blob, body, drawn_voids
from mvg.tasks.projection import low_dose_noise
from tests.data.folders import described, make_ct, make_mri, write_image


def prepared(folder: Path) -> StoredSet:
    prepare([folder], folder.parent / "store")
    return Store.open(folder.parent / "store").sets[folder.name]


def task_of(found: StoredSet, name: str) -> Any:
    return next(task for task in tasks_for(found.card) if task.name == name)


def heads(tmp_path: Path, **changes: Any) -> StoredSet:
    folder = make_mri(tmp_path / "heads", {"pat1": (60, 64, 3)}, channels=2)
    if changes:
        described(folder, **changes)
    return prepared(folder)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_segmentation_answers_with_the_labels_of_its_channel(tmp_path: Path) -> None:
    found = heads(tmp_path)
    image, target = task_of(found, "segmentation:contrast 1").pair(found[0], rng())
    assert np.array_equal(image, found[0].picture(1))
    assert np.array_equal(target, found[0].labels)


def test_what_is_marked_to_be_ignored_is_background(tmp_path: Path) -> None:
    found = heads(tmp_path, labels={"background": 0, "organ": 1, "ignore": 2})
    _, target = task_of(found, "segmentation:channel 0").pair(found[0], rng())
    assert set(np.unique(target)) == {0, 1}


def test_segmentation_of_hu_shows_soft_tissue(tmp_path: Path) -> None:
    folder = make_ct(tmp_path / "ct")
    for case in ("scan0", "scan1"):
        write_image(folder / f"labelsTr/{case}.nii.gz", np.ones((96, 96, 1), np.uint8), np.diag([-2.0, -2.0, 5.0, 1.0]))
    found = prepared(described(folder, channel_names={"0": "CT"}, modality="CT", labels={"all": 1}))
    image, _ = task_of(found, "segmentation:CT").pair(found[0], rng())
    assert image[48, 48] == pytest.approx((40 + 160) / 400, abs=1e-3)
    assert image[0, 0] == 0


def test_synthesis_goes_from_contrast_to_contrast(tmp_path: Path) -> None:
    found = heads(tmp_path)
    image, target = task_of(found, "synthesis:contrast 1->contrast 0").pair(found[1], rng())
    assert np.array_equal(image, found[1].picture(1))
    assert np.array_equal(target, found[1].picture(0))


def test_other_image_targets_are_synthesis_too(tmp_path: Path) -> None:
    found = prepared(described(make_ct(tmp_path / "pairs", target=True), targets="targetsTr: MR", modality="other"))
    assert [task.kind for task in tasks_for(found.card)] == ["synthesis"]
    image, target = task_of(found, "synthesis:channel 0->MR").pair(found[0], rng())
    assert image.std() > 0
    assert np.array_equal(target, found[0].target_picture())


def test_inpainting_voids_a_region_of_the_body_and_asks_for_all_of_it(tmp_path: Path) -> None:
    found = heads(tmp_path, modality="MRI", region="brain", labels={"organ": 1, "other": 2})
    image, target = task_of(found, "inpainting:channel 1").pair(found[0], rng())
    voided = image != target
    assert 0.003 < voided.mean() < 0.3
    assert (image[voided] == 0).all()
    assert np.array_equal(target, found[0].picture(1))


@pytest.mark.parametrize("seed", range(30))
def test_voids_keep_away_from_lesions(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    found = heads(tmp_path_factory.mktemp("lesion"))
    task = task_of(found, "inpainting:contrast 0")
    void = task.void(found[0], rng(seed))
    labels = found[0].labels
    assert labels is not None
    assert void.any()
    assert not void[ndimage.binary_dilation(labels == 2, iterations=2)].any()  # "right tumor"


def test_voids_are_the_labelled_ones_where_a_label_names_them(tmp_path: Path) -> None:
    found = heads(tmp_path, modality="MRI", labels={"void": 1, "lesion": 2}, channel_names={"0": "T1", "1": "T2"})
    task = task_of(found, "inpainting:T1")
    image, target = task.pair(found[0], rng())
    assert np.array_equal(image == 0, (found[0].labels == 1) | (target == 0))
    assert [task.accepts(row) for row in found.rows] == [True, True, False]  # the last slice has no label


def test_real_voided_images_are_used_as_they_are(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "local", {"pat1": (60, 64, 3)})
    write_image(folder / "targetsTr/pat1.nii.gz", np.full((60, 64, 3), 60, np.uint8))
    found = prepared(described(folder, channel_names={"0": "T1 voided"}, targets="T1", modality="MRI"))
    (task,) = (task for task in tasks_for(found.card) if task.kind == "inpainting")
    image, target = task.pair(found[0], rng())
    assert np.array_equal(image, found[0].picture(0))
    window = found[0].row.windows[0]  # one scale for query and answer
    assert target[found[0].row.box.index] == pytest.approx(float(window.apply(np.full(1, 60.0))[0]), abs=1e-3)


@given(st.integers(0, 2**32 - 1))
def test_voids_are_smooth_and_inside(seed: int) -> None:
    healthy = np.hypot(*(np.mgrid[:96, :80] - np.array([48, 40])[:, None, None])) < 36
    void = drawn_voids(healthy, rng(seed))
    assert void.any()
    assert not (void & ~healthy).any()
    assert void.sum() < 0.6 * healthy.sum()
    region = blob((96, 80), np.array([48, 40]), 12.0, rng(seed))
    assert ndimage.label(region)[1] == 1
    assert region.sum() > 0.8 * ndimage.binary_opening(region, iterations=2).sum() > 0.6 * region.sum()


def test_nothing_to_void_voids_nothing() -> None:
    assert not drawn_voids(np.zeros((16, 16), bool), rng()).any()


def test_the_body_is_the_largest_thing_with_its_holes(tmp_path: Path) -> None:
    found = prepared(make_ct(tmp_path / "ct"))
    y, x = np.mgrid[:96, :96] - 47.5
    assert np.array_equal(body(found[0]), np.hypot(x, y) < 0.4 * 96)


@pytest.mark.parametrize(("dose", "window"), [("50%", ""), ("10%", ""), ("25%", ", lung")])
def test_denoising_adds_noise_to_a_crop_and_asks_for_the_original(tmp_path: Path, dose: str, window: str) -> None:
    found = prepared(make_ct(tmp_path / "ct"))
    task = task_of(found, f"denoising:CT@{dose}{window}")
    piece = found[0].crop(30, 30, 32)
    image, target = task.pair(piece, rng())
    assert np.allclose(target, Window.named("lung" if window else "soft tissue").apply(piece.raw(0)))
    assert 0.001 < np.abs(image - target).mean() < 0.2
    assert not np.array_equal(image, task.pair(piece, rng(1))[0])


def test_the_noise_is_that_of_the_place_of_the_crop(tmp_path: Path) -> None:
    found = prepared(make_ct(tmp_path / "ct"))
    piece = found[0].crop(40, 12, 32)
    image, _ = task_of(found, "denoising:CT@50%").pair(piece, rng())
    noise = low_dose_noise(found[0].raw(0), 2.0, (40, 12, 32), 0.5, rng())
    assert np.allclose(image, Window.named("soft tissue").apply(piece.raw(0) + noise), atol=1e-5)


def test_lower_doses_are_noisier(tmp_path: Path) -> None:
    found = prepared(make_ct(tmp_path / "ct"))
    errors = []
    for dose in ("50%", "25%", "10%"):
        image, target = task_of(found, f"denoising:CT@{dose}").pair(found[0].crop(30, 30, 32), rng())
        errors.append(np.abs(image - target).mean())
    assert errors[0] * 1.5 < errors[1] < errors[2] / 1.4


def test_real_pairs_are_denoised_as_they_are(tmp_path: Path) -> None:
    found = prepared(make_ct(tmp_path / "pairs", target=True))
    image, target = task_of(found, "denoising:CT, low dose").pair(found[0], rng())
    soft = Window.named("soft tissue")
    assert np.array_equal(image, soft.apply(found[0].raw(0)))
    assert np.array_equal(target, soft.apply(found[0].raw_target()))


def test_kinds_are_found_by_their_file_names() -> None:
    assert sorted(contributions(kinds)) == ["denoising", "inpainting", "segmentation", "synthesis"]
    assert named(kinds, "inpainting").Inpainting is Inpainting
    with pytest.raises(UnknownNameError, match="denoising, inpainting, segmentation, synthesis"):
        named(kinds, "registration")


def test_ultrasound_gets_no_drawn_voids() -> None:
    card = Card("us", "us", "ultrasound", "breast", ("B-mode",), labels={1: "tumor"})
    found: list[Task] = tasks_for(card)
    assert [task.name for task in found] == ["segmentation:B-mode"]
