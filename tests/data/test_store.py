"""The store holds the contents of the files, also after interruptions, changes of files and errors."""

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mvg.data import Store, StoredSet, open_folder, prepare
from mvg.data.case import split_of
from mvg.errors import FileError, GeometryError
from mvg.imaging import read, read_labels
from tests.data.folders import make_ct, make_mri, write_description, write_image

CASES = {"pat1": (20, 24, 4), "pat2": (33, 18, 3), "pat3": (24, 24, 5)}


def contents_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    return make_mri(tmp_path / "heads", CASES, channels=2)


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


def test_a_complete_set_is_not_written_again_and_a_changed_case_is(heads: Path, tmp_path: Path) -> None:
    prepare([heads], tmp_path / "store")
    index = tmp_path / "store/heads/slices.json"
    before = index.stat().st_mtime_ns
    prepare([heads], tmp_path / "store")
    assert index.stat().st_mtime_ns == before
    write_image(heads / "imagesTr/pat2_0000.nii.gz", np.full(CASES["pat2"], 7, np.uint8))
    prepare([heads], tmp_path / "store")
    fresh = tmp_path / "fresh"
    prepare([heads], fresh)
    assert contents_of(tmp_path / "store") == contents_of(fresh)


def test_a_changed_description_updates_the_store(heads: Path, tmp_path: Path) -> None:
    prepare([heads], tmp_path / "store")
    write_description(heads, labels={"one": 1, "two": 2}, patient=".")
    prepare([heads], tmp_path / "store")
    stored = Store.open(tmp_path / "store").sets["heads"]
    assert stored.card.labels == {1: "one", 2: "two"}
    assert {row.patient for row in stored.rows} == {"p"}


def _stop_after_two(_set: str, done: int, _total: int) -> None:
    if done == 2:
        raise KeyboardInterrupt


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from mvg.data import preparation
calls = 0
def kill_at_call(*_):
    global calls
    calls += 1
    if calls == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
moment, original = sys.argv[3], None
if moment == "progress":
    preparation.prepare([Path(sys.argv[1])], Path(sys.argv[2]), kill_at_call)
else:  # in the middle of a write, when half of the data is on disk
    original = preparation.atomic_file
    class Half:
        def __init__(self, file): self.file = file
        def __getattr__(self, name): return getattr(self.file, name)
        def __enter__(self): return self
        def __exit__(self, *error): self.file.close()
        def write(self, data):
            self.file.write(bytes(data)[: len(bytes(data)) // 2]); self.file.flush(); kill_at_call()
            return self.file.write(bytes(data)[len(bytes(data)) // 2 :])
    class HalfPath:
        def __init__(self, path): self.path = path
        def open(self, mode): return Half(self.path.open(mode))
        def write_bytes(self, data):
            with self.open("wb") as file: file.write(data)
    from contextlib import contextmanager
    @contextmanager
    def halved(path):
        with original(path) as temporary:
            yield HalfPath(temporary)
    preparation.atomic_file = halved
    preparation.prepare([Path(sys.argv[1])], Path(sys.argv[2]))
"""


@pytest.mark.parametrize(
    "moment", ["progress 2", "progress 3", "write 1", "write 20", "write -1", "write -4", "write -7"]
)
def test_a_run_continued_after_a_kill_gives_the_same_bytes(heads: Path, tmp_path: Path, moment: str) -> None:
    kind, call = moment.split()
    prepare([heads], tmp_path / "whole")
    run = [sys.executable, "-c", KILLED, heads, tmp_path / "store", kind]
    number = int(call) if int(call) > 0 else _writes(run[:-2], tmp_path) + 1 + int(call)
    killed = subprocess.run([*map(str, run), str(number)], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "store/heads/slices.json").exists()
    with pytest.raises(FileError, match="half prepared: heads"):
        Store.open(tmp_path / "store")
    steps = []
    prepare([heads], tmp_path / "store", lambda *step: steps.append(step))
    assert steps == [("heads", 0, 3), ("heads", 1, 3), ("heads", 2, 3), ("heads", 3, 3)]
    assert contents_of(tmp_path / "store") == contents_of(tmp_path / "whole")


def _writes(run: list[object], scratch: Path) -> int:
    """The number of writes of an uninterrupted run."""
    code = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "pass") + "\nprint(calls)"
    command = [run[0], run[1], code, run[3], scratch / "counted", "write", 0]
    return int(subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout)


def test_finished_cases_are_not_read_again(heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare([heads], tmp_path / "store", _stop_after_two)
    from mvg.data import preparation

    sliced = []
    original = preparation.slice_case
    monkeypatch.setattr(preparation, "slice_case", lambda case, card: sliced.append(case.name) or original(case, card))
    prepare([heads], tmp_path / "store")
    assert sliced == ["pat3"]


def test_a_case_that_changes_after_an_interruption_is_read_again(heads: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare([heads], tmp_path / "store", _stop_after_two)
    write_image(heads / "imagesTr/pat1_0001.nii.gz", np.full(CASES["pat1"], 7, np.uint8))
    prepare([heads], tmp_path / "store")
    prepare([heads], tmp_path / "fresh")
    assert contents_of(tmp_path / "store") == contents_of(tmp_path / "fresh")


def test_a_store_with_an_interrupted_update_is_refused(heads: Path, tmp_path: Path) -> None:
    prepare([heads], tmp_path / "store")
    write_image(heads / "imagesTr/pat2_0000.nii.gz", np.full(CASES["pat2"], 7, np.uint8))
    with pytest.raises(KeyboardInterrupt):
        prepare([heads], tmp_path / "store", _stop_after_two)
    with pytest.raises(FileError, match="half prepared: heads"):
        Store.open(tmp_path / "store")


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


def test_an_unusable_output_folder_is_refused(heads: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file"):
        prepare([heads], tmp_path / "file")
    with pytest.raises(FileError, match="data set itself"):
        prepare([heads], tmp_path)
    with pytest.raises(FileError, match="several data sets are called heads"):
        prepare([heads, heads], tmp_path / "store")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_no_incomplete_array(heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Path.open

    def open_on_full_disk(path: Path, mode: str = "r", **kwargs):  # type: ignore[no-untyped-def]
        return original(Path("/dev/full") if path.match(".writing-*/labels.npy") else path, mode, **kwargs)

    monkeypatch.setattr(Path, "open", open_on_full_disk)
    with pytest.raises(FileError, match="No space left"):
        prepare([heads], tmp_path / "store")
    names = {path.name for path in (tmp_path / "store/heads").iterdir()}
    assert names <= {"images.npy", "parts"}


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
