"""One run at a time in a folder: two would overwrite each other's checkpoints."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mvg.errors import RecipeError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder while a run trains in it; the first process of the run does so.

    The lock ends with its process, however that ends. Raises RecipeError where another run holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout as error:
        raise RecipeError(
            f"another run that trains in '{folder}'",
            "one run in a folder",
            "wait for it, stop it, or name another folder",
        ) from error
    with lock:
        yield
