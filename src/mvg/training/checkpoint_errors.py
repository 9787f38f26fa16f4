"""What libraries raise where a checkpoint cannot be written, and the line about it."""

from pathlib import Path

from safetensors import SafetensorError

from mvg._atomic import unwritable
from mvg.errors import FileError

WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)
"""PyTorch reports a full disk as a RuntimeError about positions in its archive."""


def unwritable_checkpoint(path: Path, error: BaseException) -> FileError:
    """The error for a checkpoint that could not be written; with its first argument bound, an `error_of`."""
    known = error if isinstance(error, OSError) else EOFError("it ended too early, as on a full disk")
    return unwritable(path, known, "free space and use --resume")
