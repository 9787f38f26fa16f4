"""A packed store: small, fair to all sets, close to the store, and never half-written."""

import json
from pathlib import Path

import numpy as np
import pytest

from mvg.data import Store, prepare
from mvg.data.case import split_of
from mvg.data.packed import in_levels, levels_of, pack_store, unpack_store
from mvg.data.thinning import Thinned, fair_shares, spread
from mvg.errors import FileError
from tests.data.folders import contents_of, make_ct, make_mri

NAMES = [f"p{number}" for number in range(12)]
TRAIN = {name for name in NAMES if split_of(name) == "train"}
PLENTY = 10**7


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A set of volumes with labels, and one with image targets in HU."""
    mri = make_mri(tmp_path / "raw/mri", dict.fromkeys(NAMES, (40, 30, 6)), channels=2)
    prepare([mri, make_ct(tmp_path / "raw/pairs", cases=6, side=40, target=True)], tmp_path / "store")
    return tmp_path / "store"


def unpacked(store: Path, folder: Path, most: int = PLENTY, side: int = 128) -> Store:
    pack_store(store, folder / "packed.zip", most, side)
    return Store.open(unpack_store(folder / "packed.zip", folder / "unpacked"))


def test_training_slices_come_back_with_their_index(store: Path, tmp_path: Path) -> None:
    before, after = Store.open(store).sets["mri"], unpacked(store, tmp_path).sets["mri"]
    rows = [row for row in before.rows if row.patient in TRAIN]
    assert {row.patient for row in after.rows} == TRAIN
    assert len(rows) == len(after)
    for row, other in zip(rows, after.rows, strict=True):
        assert (row.case, row.index, row.label_values, row.box) == (
            other.case,
            other.index,
            other.label_values,
            other.box,
        )
        assert np.array_equal(before[row.number].labels, after[other.number].labels)
        error = before[row.number].picture(1) - after[other.number].picture(1)
        assert np.abs(error).max() <= 1 / 128, "half of the levels are evenly spaced"


def test_image_targets_in_hu_come_back(store: Path, tmp_path: Path) -> None:
    before, after = Store.open(store).sets["pairs"], unpacked(store, tmp_path).sets["pairs"]
    number = next(row.number for row in before.rows if row.split == "train")
    assert np.abs(before[number].raw_target() - after[0].raw_target()).max() <= 4095 / 128


def test_smaller_pictures_keep_box_spacing_and_labels(store: Path, tmp_path: Path) -> None:
    before, after = Store.open(store).sets["mri"], unpacked(store, tmp_path, side=24).sets["mri"]
    row = next(row for row in before.rows if row.split == "train" and row.label_values)
    small = after[[other.index for other in after.rows if other.case == row.case].index(row.index)]
    assert after.side == before.side // 2 // 16 * 16 + 16 * (before.side % 32 != 0)
    assert small.row.spacing == tuple(2 * value for value in row.spacing)
    half = before.side // 2
    means = before[row.number].picture(0).reshape(half, 2, half, 2).mean((1, 3))
    assert np.abs(small.picture(0)[:half, :half] - means).max() <= 1 / 128
    assert small.row.box.rows * 2 in (row.box.rows, row.box.rows - 1, row.box.rows - 2)
    assert set(small.row.label_values) == set(np.unique(small.labels)) - {0}


def test_a_limit_is_kept_and_every_set_is_there(store: Path, tmp_path: Path) -> None:
    whole = pack_store(store, tmp_path / "whole.zip", PLENTY, 128)
    packed = pack_store(store, tmp_path / "some.zip", whole.bytes // 2, 128)
    assert (tmp_path / "some.zip").stat().st_size == packed.bytes <= whole.bytes // 2
    assert all(0 < packed.slices[name] <= count for name, count in whole.slices.items())
    assert sum(packed.slices.values()) < sum(whole.slices.values())
    with pytest.raises(FileError, match="100 bytes for 2 sets; expected room for a slice of each"):
        pack_store(store, tmp_path / "none.zip", 100, 128)
    assert not (tmp_path / "none.zip").exists()


def test_a_set_without_training_patients_is_named(store: Path, tmp_path: Path) -> None:
    path = store / "pairs/slices.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "cases": [{**case, "split": "val"} for case in index["cases"]]}))
    assert pack_store(store, tmp_path / "packed.zip", PLENTY, 128).left_out == ("pairs",)


def test_the_same_store_gives_the_same_bytes(store: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        pack_store(store, tmp_path / f"{name}.zip", PLENTY, 128)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


@pytest.mark.parametrize("damage", ["short", "other", "missing"])
def test_a_damaged_file_is_an_error_and_leaves_what_was_there(store: Path, tmp_path: Path, damage: str) -> None:
    unpacked(store, tmp_path)
    before, file = contents_of(tmp_path / "unpacked"), tmp_path / "packed.zip"
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[: len(content) // 2] if damage == "short" else b"no zip")
    with pytest.raises(FileError, match=r"cannot unpack .*packed\.zip"):
        unpack_store(file, tmp_path / "unpacked")
    assert contents_of(tmp_path / "unpacked") == before


def test_a_folder_that_is_no_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no prepared set"):
        pack_store(tmp_path, tmp_path / "packed.zip", PLENTY, 128)


def test_levels_are_fine_where_the_pixels_are() -> None:
    rng = np.random.default_rng(0)
    tissue = rng.normal(20000, 500, (1, 1, 64, 64)).astype(np.uint16)
    tissue[..., :8] = 0
    tissue[..., 0, 8] = 65535
    levels = levels_of(tissue)
    back = levels[in_levels(tissue, levels)].astype(int)
    assert np.abs(back - tissue).max() <= 65535 / 128
    assert np.abs(back - tissue)[..., 9:].mean() < 10, "a quarter of what 256 even steps would cost, or less"
    assert (back[tissue == 0] == 0).all()


def test_shares_are_fair_and_none_exceeds_its_need() -> None:
    assert fair_shares([1.0, 10.0, 10.0], [1.0, 1.0, 1.0], 9.0) == [1, 4, 4]
    assert fair_shares([1.0, 2.0], [1.0, 1.0], 9.0) == [1, 2]
    assert fair_shares([10.0, 10.0], [1.0, 3.0], 8.0) == [2, 6]


def test_slices_are_spread_over_cases_and_along_each() -> None:
    index = {"cases": [{"count": 10}, {"count": 1}, {"count": 10}]}
    kept = spread(list(Thinned.all_of(index)), 7)
    assert [case.indices for case in kept] == [(1, 5, 8), (0,), (1, 5, 8)]
    assert kept[2].numbers == (12, 16, 19)
    assert sum(len(case.indices) for case in spread(list(Thinned.all_of(index)), 2)) == 2
    assert sum(len(case.indices) for case in spread(list(Thinned.all_of(index)), 99)) == 21
