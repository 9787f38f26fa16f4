"""Parts of a batch, for arrays of jobs: each part has a record of its own, and the records are merged in the end."""

import json
import os
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvg._atomic import atomic_file
from mvg.errors import FileError, PromptError
from mvg.prediction.batch import Job

_MANIFEST = "manifest.json"
_NAME = re.compile(r"manifest-part-(\d+)-of-(\d+)\.json")
_PER_RUN = ("answers",)  # differ between the records of parts; all else must be equal


@dataclass(frozen=True)
class Part:
    """Part `number` of `count`, counted from 0: every count-th query by the name of its output."""

    number: int = 0
    count: int = 1

    @property
    def manifest(self) -> str:
        """The name of its record."""
        return _MANIFEST if self.count == 1 else f"manifest-part-{self.number}-of-{self.count}.json"

    def of(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs of this part; the whole keeps their order."""
        if self.count == 1:
            return list(jobs)
        return sorted(jobs, key=lambda job: job.output.name)[self.number :: self.count]


WHOLE = Part()


def part_of(number: int | None, count: int) -> Part:
    """The part that a user named. Raises PromptError for one that is not there."""
    if count == 1 and number is None:
        return WHOLE
    if number is None or not 0 <= number < count:
        raise PromptError(
            f"--part-id {number} of --num-parts {count}", f"0 to {count - 1}", "give each part a number of its own"
        )
    return Part(number, count)


@contextmanager
def claimed(output: Path, part: Part) -> Iterator[None]:
    """While it lasts, no other process predicts this part. Raises FileError where one does."""
    path = output / f".{part.manifest}.running"
    here = f"{platform.node()} {os.getpid()}"
    while part.count > 1:
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            node, _, process = (path.read_text(encoding="utf-8") or "? 0").partition(" ")
            if node == platform.node() and not Path(f"/proc/{process}").exists():
                path.unlink(missing_ok=True)  # its process was killed
                continue
            raise FileError(
                f"part {part.number} of {part.count} is being predicted by process {process} on '{node}'",
                "a part-id of its own for each process",
                f"choose another --part-id; if that process is gone, remove '{path}'",
            ) from None
        path.write_text(here, encoding="utf-8")
        break
    try:
        yield
    finally:
        if part.count > 1:
            path.unlink(missing_ok=True)


def merge(output: Path) -> Path:
    """Join the records of all parts to OUTPUT/manifest.json and remove them; returns it.

    Raises FileError where a part is missing, still runs or was made otherwise than the others.
    """
    records = {name: match for name in sorted(os.listdir(output)) if (match := _NAME.fullmatch(name))}
    counts = {int(match[2]) for match in records.values()}
    if len(counts) != 1:
        state = f"holds parts of batches of {', '.join(map(str, sorted(counts)))} parts" if counts else "holds no part"
        raise FileError(f"'{output}' {state}", "the parts of one batch", "predict with --num-parts and --part-id")
    count = counts.pop()
    parts = [Part(number, count) for number in range(count)]
    missing = [part.number for part in parts if part.manifest not in records]
    running = [part.number for part in parts if (output / f".{part.manifest}.running").exists()]
    for numbers, state in ((missing, "missing"), (running, "still predicted")):
        if numbers:
            raise FileError(
                f"of {count} parts in '{output}', {', '.join(map(str, numbers))} are {state}",
                "all parts",
                "predict them, or wait",
            )
    contents = [_content(output / part.manifest) for part in parts]
    entries: dict[str, Any] = {}
    for content in contents:
        if _settings(content) != _settings(contents[0]):
            raise FileError(
                f"the parts in '{output}' were made with different options, prompts or weights",
                "the same command for all parts",
                "predict them again",
            )
        entries |= content["answers"]
    merged = {**contents[0], "answers": dict(sorted(entries.items()))}
    path = output / _MANIFEST
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for part in parts:
        (output / part.manifest).unlink()
    return path


def _content(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        dict(content["answers"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"cannot read '{path}'", "the record of a part", "predict that part again") from error
    return content


def _settings(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in _PER_RUN}
