"""What a folder of predictions was made from: `manifest.json`, by which a repeated command skips what is done.

It holds checksums of queries and prompts, the weights, all options, and a line for each answer. Of DICOM it holds no
names or identifiers of patients.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from mvg._atomic import atomic_file, unwritable
from mvg._remote import Address, identity, is_url
from mvg.errors import FileError
from mvg.prediction.batch import Job, Outcome

NAME = "manifest.json"
_SECONDS = 1.0  # between two updates of the file while answers are written
_CHUNK = 1 << 20


def checksum(path: Path) -> str:
    """The SHA-256 of a file, or of all files in a folder with their names. Raises OSError."""
    digest = hashlib.sha256()
    for file in [path] if not path.is_dir() else sorted(one for one in path.rglob("*") if one.is_file()):
        if file != path:
            digest.update(str(file.relative_to(path)).encode())
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


class Manifest:
    """The manifest of an output folder; entries of an older one stay until their answer is made again."""

    def __init__(self, output: Path, settings: Mapping[str, Any], name: str = NAME) -> None:
        """settings: what all answers of this run depend on beside their query, as JSON can hold it; name: of its file.

        A file of another name begins with the entries of the folder's manifest.
        """
        self.path, self.settings = output / name, dict(settings)
        self._digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()
        self._entries = _entries_in(output / NAME) | _entries_in(self.path)
        self._checksums = dict[Address, str]()
        self._written = 0.0

    @property
    def entries(self) -> Mapping[str, dict[str, Any]]:
        """The entries by the name of the answer's file."""
        return self._entries

    def is_done(self, job: Job) -> bool:
        """Whether a job's files are there, whole, and made from the same query, prompts, weights and options.

        An answer to what was odd is none where a job refuses that.
        """
        entry = self._entries.get(job.output.name, {})
        if entry.get("status") != "done" or entry.get("settings") != self._digest:
            return False
        if job.strict and entry.get("oddities"):
            return False
        files = entry.get("files", {})
        if {path.name for path in job.outputs} != set(files):
            return False
        if entry.get("query_sha256") != self._checksum(job) or entry.get("query_sha256") is None:
            return False
        corrections = entry.get("corrections_sha256")
        if corrections != self._checksum_of_corrections(job) or (corrections is None) != (job.corrections is None):
            return False
        return all(path.exists() and checksum(path) == files[path.name] for path in job.outputs)

    def add(self, outcome: Outcome, seconds: float, details: Mapping[str, Any]) -> None:
        """Notes an outcome; details: of the answer, as JSON can hold them. The file is updated once a second."""
        job = outcome.job
        self._entries[job.output.name] = {
            "query": job.query.name,
            "series": job.series,
            "query_sha256": self._checksum(job),
            "settings": self._digest,
            "status": "done" if outcome.error is None else "failed",
            "error": outcome.error,
            "files": {path.name: checksum(path) for path in outcome.written},
            "seconds": round(seconds, 2),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            **details,
        }
        if job.corrections is not None:
            self._entries[job.output.name]["corrections_sha256"] = self._checksum_of_corrections(job)
        if outcome.error is None and time.monotonic() - self._written > _SECONDS:
            self.write()

    def write(self) -> None:
        """Writes the file whole or not at all. Raises FileError where it cannot be written."""
        content = {
            "program": "mvg",
            "purpose": "research use only",
            **self.settings,
            "answers": dict(sorted(self._entries.items())),
        }
        with atomic_file(self.path, partial(unwritable, self.path)) as temporary:
            temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        self._written = time.monotonic()

    def _checksum(self, job: Job) -> str | None:
        return self._known(job.url or job.query)

    def _checksum_of_corrections(self, job: Job) -> str | None:
        return None if job.corrections is None else self._known(job.corrections)

    def _known(self, address: Address) -> str | None:
        """The checksum of a file, computed once; of a URL see `identity`. None where it cannot be read."""
        if address not in self._checksums:
            try:
                self._checksums[address] = identity(address) if is_url(address) else checksum(Path(address))
            except (OSError, FileError):
                return None
        return self._checksums[address]


def checksums(paths: Iterable[Path]) -> dict[str, str]:
    """The checksums of the prompts' files, by the names of folder and file."""
    return {f"{path.parent.name}/{path.name}": checksum(path) for path in sorted(paths)}


def _entries_in(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of an older manifest; a damaged one has none, and every answer is made again."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["answers"]
        return {str(name): dict(entry) for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
