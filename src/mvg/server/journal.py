"""An append-only file of JSON lines: an entry is on disk when `append` returns, whatever happens next."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

Entry = dict[str, Any]


class Journal:
    """The entries of a file, oldest first.

    A line that a crash cut is not an entry: nobody was told that it was accepted. It is removed when the file is
    opened; lines after damage are kept in a file beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._file: int | None = None

    def entries(self) -> list[Entry]:
        """All entries; the end of the file is repaired where it is no entry."""
        if not self.path.exists():
            return []
        content = self.path.read_bytes()
        entries, good = _parsed(content)
        if good < len(content):
            self._cut(content, good)
        return entries

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write an entry and wait until it is on disk. Raises OSError; the file is then as it was."""
        line = (json.dumps(entry, separators=(",", ":")) + "\n").encode("utf-8")
        with self._lock:
            file = self._opened()
            end = os.lseek(file, 0, os.SEEK_END)
            try:
                _write_all(file, line)
                os.fsync(file)
            except OSError:
                os.ftruncate(file, end)
                raise

    def close(self) -> None:
        """Close the file; the next `append` opens it again."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _opened(self) -> int:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not self.path.exists()
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
            if is_new:
                for folder in (self.path.parent, self.path.parent.parent, self.path.parent.parent.parent):
                    sync_folder(folder)
        return self._file

    def _cut(self, content: bytes, good: int) -> None:
        rest = content[good:]
        if b"\n" in rest.rstrip(b"\n"):  # more than the one line that a crash cuts
            self.path.with_suffix(".damaged").write_bytes(rest)
        self.close()
        with self.path.open("r+b") as file:
            file.truncate(good)
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk; systems that cannot do so for a folder do it by themselves."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _parsed(content: bytes) -> tuple[list[Entry], int]:
    """The entries before the first damage, and how many bytes they take."""
    entries: list[Entry] = []
    start = 0
    while (end := content.find(b"\n", start)) >= 0:
        try:
            entry = json.loads(content[start:end])
        except ValueError:
            break
        if not isinstance(entry, dict):
            break
        entries.append(entry)
        start = end + 1
    return entries, start
