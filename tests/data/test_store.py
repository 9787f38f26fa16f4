"""The store holds the contents of the files, and reads them in every process."""

import json
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mvg.data import Store, StoredSet, open_folder, prepare
from mvg.data.case import split_of
from mvg.errors import FileError, GeometryError
from mvg.imaging import read, read_labels
from tests.data.folders import make_ct, make_mri, write_image


def test_slices_hold_the_contents_of_the_files(heads: Path, tmp_path: Path) -> None:
    prepare([heads], tmp_path / "store")
    stored = Store.open(tmp_path / "store").sets["heads"]
    assert stored.images.shape == (12, 2, 48, 48)  # 33 rounded up to a multiple of 16
    assert stored.card == open_folder(heads).card
    for row in stored.rows:
        stored_slice = stored[row.number]
        volume = read(heads / f"imagesTr/{row.case}_0001.nii.gz")
        picture = row.windows[1].apply(volume.pictures("axial")[row.index])
        labels = read_labels(heads / f"labelsTr/{row.case}.nii.gz").pictures("axial")[row.index]
        assert np.abs(stored_slice.picture(1)[row.box.index] - picture).max() < 1e-5
        assert stored_slice.labels is not None
        assert np.array_equal(stored_slice.labels[row.box.index], labels)
        assert row.label_values == tuple(np.unique(labels[labels > 0]))
        outside = np.ones((48, 48), bool)
        outside[row.box.index] = False
        assert not stored_slice.images[:, outside].any()


def test_empty_slices_are_kept_and_positions_run_through_the_volume(heads: Path, tmp_path: Path) -> None:
    prepare([heads], tmp_path / "store")
    rows = [row for row in Store.open(tmp_path / "store").sets["heads"].rows if row.case == "pat1"]
    assert [row.index for row in rows] == [0, 1, 2, 3]
    assert [row.position for row in rows] == [0.125, 0.375, 0.625, 0.875]
    assert [row.label_values for row in rows] == [(1, 2), (1, 2), (1, 2), ()]


def test_splits_share_no_patient(heads: Path, tmp_path: Path) -> None:
    prepare([heads], tmp_path / "store")
    stored = Store.open(tmp_path / "store").sets["heads"]
    train, val = stored.numbers("train"), stored.numbers("val")
    assert sorted([*train, *val]) == list(range(len(stored)))
    assert {split_of(stored.rows[number].patient) for number in val} <= {"val"}
    assert not {stored.rows[n].patient for n in train} & {stored.rows[n].patient for n in val}


def test_hounsfield_units_are_recovered(tmp_path: Path) -> None:
    folder = make_ct(tmp_path / "pairs", target=True)
    prepare([folder], tmp_path / "store")
    stored_slice = Store.open(tmp_path / "store").sets["pairs"][1]
    noisy = read(folder / "imagesTr/scan1_0000.nii.gz").pictures("axial")[0]
    clean = read(folder / "targetsTr/scan1.nii.gz").pictures("axial")[0]
    assert np.abs(stored_slice.raw(0) - np.clip(noisy, -1024, 3071)).max() < 0.05
    assert np.abs(stored_slice.raw_target() - clean).max() < 0.05


def test_pictures_larger_than_512_are_shrunk_and_small_ones_not_enlarged(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "film", {"big1": (700, 350, 1), "small1": (40, 30, 1)}, ending=".png")
    prepare([folder], tmp_path / "store")
    big, small = Store.open(tmp_path / "store").sets["film"].rows
    assert (big.box.rows, big.box.cols) == (256, 512)
    assert big.spacing == pytest.approx((700 / 512, 700 / 512))
    assert (small.box.rows, small.box.cols, small.spacing) == (30, 40, (1.0, 1.0))


def test_oblong_pixels_become_square(tmp_path: Path) -> None:
    shape = (20, 24, 4)
    folder = tmp_path / "heads"
    write_image(folder / "imagesTr/a_0000.nii.gz", np.ones(shape, np.uint8), np.diag([2.0, 1.0, 9.0, 1.0]))
    prepare([folder], tmp_path / "store")
    (row, *_) = Store.open(tmp_path / "store").sets["heads"].rows
    assert (row.box.rows, row.box.cols, row.spacing) == (24, 40, (1.0, 1.0))


def test_slices_of_cases_without_labels_have_none(heads: Path, tmp_path: Path) -> None:
    (heads / "labelsTr/pat2.nii.gz").unlink()
    prepare([heads], tmp_path / "store")
    stored = Store.open(tmp_path / "store").sets["heads"]
    assert {row.case for row in stored.rows if row.has_labels} == {"pat1", "pat3"}
    assert all((stored[row.number].labels is not None) == row.has_labels for row in stored.rows)


def _sum(stored: StoredSet, number: int) -> int:
    return int(stored[number].images.sum(dtype=np.int64))


def test_worker_processes_read_the_same_slices_from_a_small_pickle(heads: Path, tmp_path: Path) -> None:
    prepare([heads], tmp_path / "store")
    stored = Store.open(tmp_path / "store").sets["heads"]
    sums = [_sum(stored, number) for number in range(len(stored))]  # the arrays are open now
    assert len(pickle.dumps(stored)) < 1000
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_sum, [stored] * len(stored), range(len(stored)))) == sums


def test_stored_arrays_are_read_only(heads: Path, tmp_path: Path) -> None:
    prepare([heads], tmp_path / "store")
    stored_slice = Store.open(tmp_path / "store").sets["heads"][0]
    with pytest.raises(ValueError, match="read-only"):
        stored_slice.images[0, 0, 0] = 1


def test_crops_keep_their_slice_and_position(heads: Path, tmp_path: Path) -> None:
    prepare([heads], tmp_path / "store")
    whole = Store.open(tmp_path / "store").sets["heads"][0]
    crop = whole.crop(10, 4, 30).crop(2, 3, 16)
    assert (crop.top, crop.left, crop.uncropped) == (12, 7, whole)
    assert np.array_equal(crop.picture(1), whole.picture(1)[12:28, 7:23])
    for seed in range(20):
        random_crop = whole.random_crop(16, np.random.default_rng(seed))
        assert random_crop.images.shape == (2, 16, 16)
    assert whole.random_crop(48, np.random.default_rng(0)) is whole


def test_files_of_a_case_on_different_grids_are_refused(heads: Path, tmp_path: Path) -> None:
    write_image(heads / "imagesTr/pat2_0001.nii.gz", np.ones((33, 18, 4), np.uint8))
    with pytest.raises(GeometryError, match="pat2_0001"):
        prepare([heads], tmp_path / "store")
    write_image(heads / "imagesTr/pat2_0001.nii.gz", np.ones((33, 18, 3), np.uint8), np.diag([1.0, 1.0, 3.0, 1.0]))
    with pytest.raises(GeometryError, match="one grid"):
        prepare([heads], tmp_path / "store")


def test_labels_that_the_card_does_not_name_are_refused(tmp_path: Path) -> None:
    film = make_mri(tmp_path / "film", {"pat1": (30, 30, 1)}, ending=".png")
    Image.fromarray(np.full((30, 30), 255, np.uint8)).save(film / "labelsTr/pat1.png")
    with pytest.raises(FileError, match=r"pat1\.png holds the label values 255"):
        prepare([film], tmp_path / "store")


def test_a_missing_damaged_or_newer_store_is_refused(heads: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no prepared set"):
        Store.open(tmp_path / "missing")
    prepare([heads], tmp_path / "store")
    os.truncate(tmp_path / "store/heads/images.npy", 1000)
    with pytest.raises(FileError, match=r"images\.npy"):
        Store.open(tmp_path / "store").sets["heads"][0]
    index = tmp_path / "store/heads/slices.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "format": 99}))
    with pytest.raises(FileError, match="format 99"):
        Store.open(tmp_path / "store")
