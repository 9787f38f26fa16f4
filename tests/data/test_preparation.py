"""The preparation continues after an interruption, follows changed files, and refuses what it cannot write."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mvg.data import Store, prepare
from mvg.errors import FileError
from tests.data.folders import HEADS, contents_of, write_description, write_image


def test_a_complete_set_is_not_written_again_and_a_changed_case_is(heads: Path, tmp_path: Path) -> None:
    prepare([heads], tmp_path / "store")
    index = tmp_path / "store/heads/slices.json"
    before = index.stat().st_mtime_ns
    prepare([heads], tmp_path / "store")
    assert index.stat().st_mtime_ns == before
    write_image(heads / "imagesTr/pat2_0000.nii.gz", np.full(HEADS["pat2"], 7, np.uint8))
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
    write_image(heads / "imagesTr/pat1_0001.nii.gz", np.full(HEADS["pat1"], 7, np.uint8))
    prepare([heads], tmp_path / "store")
    prepare([heads], tmp_path / "fresh")
    assert contents_of(tmp_path / "store") == contents_of(tmp_path / "fresh")


def test_a_store_with_an_interrupted_update_is_refused(heads: Path, tmp_path: Path) -> None:
    prepare([heads], tmp_path / "store")
    write_image(heads / "imagesTr/pat2_0000.nii.gz", np.full(HEADS["pat2"], 7, np.uint8))
    with pytest.raises(KeyboardInterrupt):
        prepare([heads], tmp_path / "store", _stop_after_two)
    with pytest.raises(FileError, match="half prepared: heads"):
        Store.open(tmp_path / "store")


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
