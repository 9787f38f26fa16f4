"""Writes files and folders whole or not at all: a reader never meets a part of one, whenever the writer stops."""

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from mvg.errors import FileError, MvgError, last_line

_TEMPORARY = ".writing-"
_MAKE_ROOM = "free space, change its permissions or choose another folder"

ErrorOf = Callable[[Exception], MvgError]


@contextmanager
def atomic_file(
    path: Path, error_of: ErrorOf | None = None, expected: tuple[type[Exception], ...] = (OSError,)
) -> Iterator[Path]:
    """Yields a temporary path to write to; it replaces `path` in one step when the block ends without an error.

    The temporary path has the name of `path` and lies in a folder of its own beside it. Other files that the block
    writes into that folder are moved beside `path` as well. All files get the usual permissions. On any error `path`
    stays as it was and the folder is removed. `error_of(error)` replaces errors of the types `expected`.

        with atomic_file(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
    """
    with _converted(error_of, expected), _temporary_folder(path.parent) as folder:
        yield folder / path.name
        _give_usual_permissions(folder)
        # A header names the file of its voxels, so the file `path` itself appears last.
        for part in sorted(folder.iterdir(), key=lambda part: part.name == path.name):
            os.replace(part, path.parent / part.name)


@contextmanager
def atomic_folder(
    path: Path, error_of: ErrorOf | None = None, expected: tuple[type[Exception], ...] = (OSError,)
) -> Iterator[Path]:
    """Yields a new, empty folder; it replaces the folder `path` when the block ends without an error.

    The old folder stays in place until the new one is complete. Permissions and errors as in `atomic_file`.
    """
    with _converted(error_of, expected), _temporary_folder(path.parent) as folder:
        fresh = folder / path.name
        fresh.mkdir()
        yield fresh
        _give_usual_permissions(folder)
        _swap(fresh, path, folder / "replaced")


def is_temporary(path: Path) -> bool:
    """Whether a path is a temporary folder of this module, as a killed process leaves it."""
    return path.name.startswith(_TEMPORARY)


def unwritable(path: Path, error: BaseException, action: str = _MAKE_ROOM) -> FileError:
    """The error for a file that could not be written; with its first argument bound, an `error_of`."""
    reason = getattr(error, "strerror", None) or last_line(error)
    return FileError(f"'{path}' could not be written ({reason})", "a writable folder with space left", action)


def _swap(fresh: Path, path: Path, replaced: Path) -> None:
    """Moves `path`, where it exists, to `replaced` and `fresh` to `path`; puts `path` back on an error."""
    if path.exists():
        path.rename(replaced)
    try:
        fresh.rename(path)
    except OSError:
        if replaced.exists():
            replaced.rename(path)
        raise


@contextmanager
def _converted(error_of: ErrorOf | None, expected: tuple[type[Exception], ...]) -> Iterator[None]:
    try:
        yield
    except MvgError:
        raise
    except expected as error:
        if error_of is None:
            raise
        raise error_of(error) from error


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, removed in the end."""
    _remove_leftovers(parent)
    folder = Path(tempfile.mkdtemp(prefix=_prefix(os.getpid()), dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prefix(process: int | str) -> str:
    """How the names of temporary folders begin: with the machine and the process that write them."""
    return f"{_TEMPORARY}{re.sub(r'[^A-Za-z0-9]', '', platform.node())[:32]}-{process}-"


@cache
def _remove_leftovers(parent: Path) -> None:
    """Removes what killed processes of this machine left in a folder; only once per process, because it lists it."""
    pattern = re.compile(re.escape(_prefix("PROCESS")).replace("PROCESS", r"(\d+)"))
    with suppress(OSError):
        for folder in parent.iterdir():
            match = pattern.match(folder.name)
            if match and not _is_running(int(match.group(1))):
                shutil.rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":
        return True  # elsewhere the question would end the process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _give_usual_permissions(folder: Path) -> None:
    """Gives all files below a folder the permissions of a new file; some libraries write for the owner alone."""
    probe = folder / ".permissions"
    probe.touch()
    mode = probe.stat().st_mode
    probe.unlink()
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_mode != mode:
            file.chmod(mode)
