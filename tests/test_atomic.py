"""Files and folders are written completely or not at all, however the writer is stopped."""

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


def test_other_files_of_the_same_write_are_moved_with_the_target(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "scan.mhd") as temporary:
        temporary.with_suffix(".raw").write_text("voxels")
        temporary.write_text("header")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"scan.mhd": "header", "scan.raw": "voxels"}


def write_and_stop(writer: AbstractContextManager[Path], error: type[BaseException]) -> None:
    with writer as temporary:
        (temporary / "part" if temporary.is_dir() else temporary).write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_interrupted_writer_changes_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "part").write_text("old")
    for writer in (atomic_file(tmp_path / "file"), atomic_folder(tmp_path / "folder")):
        with pytest.raises(error):
            write_and_stop(writer, error)
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "part").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_folder_is_replaced_with_all_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    for name in ("old", "new"):
        with atomic_folder(folder) as fresh:
            (fresh / name).write_text(name)
            assert folder.exists() == (name == "new")
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


def test_the_old_folder_is_restored_when_the_new_one_cannot_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "old").touch()
    rename = Path.rename

    def fail_for_new(path: Path, target: Path) -> Path:
        if (path / "new").exists():
            raise PermissionError
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_new)
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
        raise WeightsError("damaged", "complete ones", "load them again")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_written_files_have_the_usual_permissions(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.touch()
    with atomic_file(tmp_path / "file") as temporary:
        temporary.touch(mode=0o600)
    with atomic_folder(tmp_path / "folder") as fresh:
        (fresh / "part").touch(mode=0o600)
    (tmp_path / "usual_folder").mkdir()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (usual, tmp_path / "file", tmp_path / "folder" / "part")}
    assert len(modes) == 1
    assert (tmp_path / "folder").stat().st_mode == (tmp_path / "usual_folder").stat().st_mode


@pytest.mark.skipif(os.name != "posix", reason="needs to know whether a process runs")
def test_the_next_process_removes_the_files_of_a_killed_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert [entry.name.startswith(".writing-") for entry in tmp_path.iterdir()] == [True]
    with atomic_file(path) as temporary:
        temporary.write_text("whole")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="needs to know whether a process runs")
def test_temporary_files_of_a_running_process_are_kept(tmp_path: Path) -> None:
    waiting = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "print(flush=True); sys.stdin.read()")
    command = [sys.executable, "-c", waiting, str(tmp_path / "other")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with atomic_file(tmp_path / "file") as temporary:
            temporary.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "other"]
