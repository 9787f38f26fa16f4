"""Files and folders appear whole or not at all, whatever stops the writer."""

import os
import stat
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mvg._atomic import atomic_file, atomic_folder
from mvg.errors import FileError, MvgError, WeightsError

KILLED = """
import os, signal, sys
from contextlib import AbstractContextManager
from pathlib import Path
from mvg._atomic import atomic_file
with atomic_file(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def unwritable(error: Exception) -> MvgError:
    return FileError(f"a file ({error})", "another", "choose it")


def test_a_file_is_replaced_only_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    with atomic_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.name == path.name
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_files_beside_the_target_come_along(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "scan.mhd") as temporary:
        temporary.with_suffix(".raw").write_text("voxels")
        temporary.write_text("header")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"scan.mhd": "header", "scan.raw": "voxels"}


def write_and_stop(writer: AbstractContextManager[Path], error: type[BaseException]) -> None:
    with writer as temporary:
        (temporary / "part" if temporary.is_dir() else temporary).write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_interrupted_writer_leaves_everything_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "part").write_text("old")
    for writer in (atomic_file(tmp_path / "file"), atomic_folder(tmp_path / "folder")):
        with pytest.raises(error):
            write_and_stop(writer, error)
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "part").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_folder_is_replaced_with_all_that_it_held(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    for name in ("old", "new"):
        with atomic_folder(folder) as fresh:
            (fresh / name).write_text(name)
            assert folder.exists() == (name == "new")
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_returns_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "old").touch()
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if (path / "new").exists():
            raise PermissionError
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError), atomic_folder(tmp_path / "weights") as fresh:
        (fresh / "new").touch()
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["old"]


def test_only_expected_errors_are_converted(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"), atomic_file(tmp_path / "none" / "file", unwritable):
        pass
    with pytest.raises(FileError, match="full"), atomic_file(tmp_path / "file", unwritable):
        raise OSError("full")
    with pytest.raises(ValueError, match="defect"), atomic_file(tmp_path / "file", unwritable):
        raise ValueError("defect")
    with pytest.raises(FileError, match="defect"), atomic_file(tmp_path / "file", unwritable, (Exception,)):
        raise ValueError("defect")
    with pytest.raises(WeightsError, match="damaged"), atomic_file(tmp_path / "file", unwritable, (Exception,)):
        raise WeightsError("damaged", "whole ones", "load them again")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_files_get_the_permissions_of_new_files(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.touch()
    with atomic_file(tmp_path / "file") as temporary:
        temporary.touch(mode=0o600)
    with atomic_folder(tmp_path / "folder") as fresh:
        (fresh / "part").touch(mode=0o600)
    (tmp_path / "made").mkdir()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (usual, tmp_path / "file", tmp_path / "folder" / "part")}
    assert len(modes) == 1
    assert (tmp_path / "folder").stat().st_mode == (tmp_path / "made").stat().st_mode


@pytest.mark.skipif(os.name != "posix", reason="asks whether a process runs")
def test_the_next_process_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert [entry.name.startswith(".writing-") for entry in tmp_path.iterdir()] == [True]
    with atomic_file(path) as temporary:
        temporary.write_text("whole")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="asks whether a process runs")
def test_work_of_a_running_process_is_left_alone(tmp_path: Path) -> None:
    waiting = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "print(flush=True); sys.stdin.read()")
    command = [sys.executable, "-c", waiting, str(tmp_path / "other")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with atomic_file(tmp_path / "file") as temporary:
            temporary.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "other"]
