"""What the formats of DICOM share: files are written whole, and a missing highdicom is named."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from mvg._atomic import atomic_file, unwritable
from mvg.errors import FileError, first_line


def written_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` with a temporary path that replaces `path`. Raises FileError where it cannot be written."""
    with atomic_file(path, partial(_unwritable, path), (Exception,)) as temporary:
        write(temporary)


def _unwritable(path: Path, error: Exception) -> FileError:
    if isinstance(error, ImportError):
        return FileError(f"no {error.name} to write '{path.name}'", "the extra dicom", "pip install 'mvg[dicom]'")
    if isinstance(error, OSError):
        return unwritable(path, error)
    reason = f"{type(error).__name__}: {first_line(error)}"
    return FileError(
        f"'{path}' could not be written ({reason})",
        "images with the elements that DICOM demands",
        "write --format nifti instead",
    )
