"""The folder `FOLDER/mvg`: where everything lies that the workbench makes, and that one server alone uses it.

index.sqlite                       what lists need; made again from the files where it is missing
uploads/STUDY/                     studies that were uploaded
thumbnails/STUDY.png
tasks/TASK/task.json               name, kind, labels, examples
tasks/TASK/dataset.json            with labelsTr/ a data set in the nnU-Net raw layout
tasks/TASK/labelsTr/NAME.nii.gz    finished labels on the study's own grid
tasks/TASK/examples/EXAMPLE/       uploaded example pairs
tasks/TASK/imported.mvgtask, prompts.mvgtask
tasks/TASK/sessions/STUDY/         journal.jsonl (every stroke), prediction.nii.gz, state.json
tasks/TASK/batches/BATCH.json
trash/                             tasks and uploads that were deleted
"""

import os
import re
import shutil
import sys
from pathlib import Path

from mvg.errors import FileError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,99}")


class Workspace:
    """Paths below `FOLDER/mvg`, by ids; an id that is no name of a file raises KeyError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.root = self.folder / "mvg"
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder and lock it. Raises FileError where it cannot be written or another server uses it."""
        try:
            for name in ("uploads", "thumbnails", "tasks", "trash"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise FileError(
                f"'{self.root}' cannot be written ({error.strerror})", "a folder that you may write to",
                "change its permissions or serve a copy of the folder",
            ) from error  # fmt: skip
        try:
            _lock(self._lock)
        except OSError as error:
            raise FileError(
                f"'{self.folder}' is served already by another mvg", "one server for a folder",
                "use that one, or stop it first",
            ) from error  # fmt: skip

    def close(self) -> None:
        """Let another server use the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def index(self) -> Path:
        """The database of lists."""
        return self.root / "index.sqlite"

    @property
    def tasks(self) -> Path:
        """The folder of all tasks."""
        return self.root / "tasks"

    @property
    def uploads(self) -> Path:
        """The folder of uploaded studies."""
        return self.root / "uploads"

    def task(self, task: str) -> Path:
        """The folder of a task."""
        return self.tasks / checked_id(task)

    def session(self, task: str, study: str) -> Path:
        """The folder of a study's corrections and prediction for a task."""
        return self.task(task) / "sessions" / checked_id(study)

    def thumbnail(self, study: str) -> Path:
        """The small picture of a study."""
        return self.root / "thumbnails" / f"{checked_id(study)}.png"

    def discard(self, path: Path) -> None:
        """Move a file or folder to the trash."""
        target = self.root / "trash" / path.name
        number = 1
        while target.exists():
            number += 1
            target = self.root / "trash" / f"{path.name}.{number}"
        shutil.move(path, target)


def checked_id(identity: str) -> str:
    """The id, where it is a plain name; KeyError for anything that could be a path."""
    if not _NAME.fullmatch(identity) or ".." in identity:
        raise KeyError(identity)
    return identity


def _lock(handle: int) -> None:
    """Lock an open file for this process. Raises OSError where another process has locked it."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
