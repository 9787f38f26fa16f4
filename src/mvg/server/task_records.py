"""Tasks as users make them: a name, a kind, labels and examples, each in a folder of its own."""

import json
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any

from mvg._atomic import atomic_file
from mvg.errors import MvgError, PromptError
from mvg.imaging.overlay import color_of
from mvg.prediction.session_start import check_values
from mvg.server.diffs import MOST_LABELS
from mvg.server.refusals import conflict, missing
from mvg.server.workspace import Workspace
from mvg.tasks import TaskSpec, spec_of

_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_LONGEST_NAME = 120


@dataclass(frozen=True)
class TaskLabel:
    """A label of a task: its value in files, its name and its color (#rrggbb)."""

    value: int
    name: str
    color: str


@dataclass(frozen=True)
class Example:
    """A pair of a task.

    origin: "study" (the label file beside it, or another study as target), "upload", or "finished" (labels that were
    accepted); study: its id, None for uploads; target: "labels", "finished", "upload", or the id of the target's study.
    """

    id: str
    name: str
    origin: str
    study: str | None
    target: str


@dataclass(frozen=True)
class TaskRecord:
    """A task; base: the name of the task file that it was imported from, None for others."""

    id: str
    name: str
    kind: str
    labels: tuple[TaskLabel, ...] = ()
    examples: tuple[Example, ...] = ()
    base: str | None = None
    created: float = 0.0

    @property
    def spec(self) -> TaskSpec:
        """What its kind of task is."""
        return spec_of(self.kind)

    @property
    def values(self) -> tuple[int, ...]:
        """The label values, in the order of class numbers."""
        return tuple(label.value for label in self.labels)

    @property
    def example_studies(self) -> tuple[str, ...]:
        """The ids of the studies among its examples."""
        return tuple(example.study for example in self.examples if example.study is not None)

    @property
    def ready(self) -> bool:
        """Whether it can predict a study without corrections."""
        return bool(self.examples) or self.base is not None

    @property
    def has_labels(self) -> bool:
        """Whether it predicts labels."""
        return self.spec.target_type == "labels"

    @property
    def fills_voids(self) -> bool:
        """Whether a void may be painted."""
        return "inpainting" in self.spec.postprocess

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "TaskRecord":
        """The task in a file."""
        labels = tuple(TaskLabel(**label) for label in facts["labels"])
        examples = tuple(Example(**example) for example in facts["examples"])
        return cls(**{**facts, "labels": labels, "examples": examples})


@dataclass(frozen=True)
class LabelEntry:
    """A label as a user names it; value and color may be left out."""

    name: str
    value: int | None = None
    color: str | None = None


class TaskRecords:
    """The tasks of a workspace. Each change is on disk before a call returns. Safe for several threads."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._lock = workspace, RLock()
        self._tasks: dict[str, TaskRecord] = {}
        for path in sorted(workspace.tasks.glob("*/task.json")):
            try:
                record = TaskRecord.from_json(json.loads(path.read_text(encoding="utf-8")))
                spec_of(record.kind)
            except (OSError, ValueError, KeyError, TypeError, MvgError):
                continue  # a folder that is no task of this version stays as it is
            self._tasks[record.id] = record

    def all(self) -> list[TaskRecord]:
        """All tasks, the oldest first."""
        with self._lock:
            return sorted(self._tasks.values(), key=lambda record: record.created)

    def get(self, task: str) -> TaskRecord:
        """A task; RefusedError where there is none."""
        with self._lock:
            if task not in self._tasks:
                raise missing("task", task)
            return self._tasks[task]

    def create(self, name: str, kind: str, labels: Sequence[LabelEntry], base: str | None = None) -> TaskRecord:
        """A new task. Raises UnknownNameError for the kind, PromptError for labels that cannot be."""
        spec = spec_of(kind)
        if spec.target_type != "labels" and labels:
            raise PromptError(f"labels for a {kind}", "no labels: it predicts pictures", "leave them out")
        completed = completed_labels(labels, ())
        if spec.target_type == "labels" and completed:
            check_values([label.value for label in completed])
        record = TaskRecord(
            f"t-{secrets.token_hex(4)}", checked_name(name), kind, completed, base=base, created=time.time()
        )
        self._workspace.task(record.id).mkdir(parents=True)
        return self.save(record)

    def save(self, record: TaskRecord) -> TaskRecord:
        """Keep a task as it is now."""
        with self._lock:
            with atomic_file(self._workspace.task(record.id) / "task.json") as temporary:
                temporary.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
            self._tasks[record.id] = record
        return record

    def with_labels(self, task: str, entries: Sequence[LabelEntry], used: frozenset[int]) -> TaskRecord:
        """The task with other labels; those before keep their order. used: values that may not be removed."""
        record = self.get(task)
        if not record.has_labels:
            raise PromptError(f"labels for a {record.kind}", "no labels: it predicts pictures", "leave them out")
        labels = completed_labels(entries, record.labels)
        check_values([label.value for label in labels])
        removed = sorted(set(record.values) - {label.value for label in labels})
        lost = [value for value in removed if value in used]
        if lost or (record.base is not None and removed):
            raise conflict(f"the label {(lost or removed)[0]} is in use", "labels that stay", "keep it, or rename it")
        kept = [label for value in record.values for label in labels if label.value == value]
        added = [label for label in labels if label.value not in record.values]
        if added and record.base is not None:
            raise conflict(
                "new labels for an imported task", f"its labels {', '.join(map(str, record.values))}", "make a new task"
            )
        return self.save(replace(record, labels=(*kept, *added)))

    def remove(self, task: str) -> None:
        """Move a task to the trash."""
        record = self.get(task)
        with self._lock:
            self._workspace.discard(self._workspace.task(record.id))
            del self._tasks[task]

    def folder(self, task: str) -> Path:
        """The folder of a task."""
        return self._workspace.task(task)


def completed_labels(entries: Sequence[LabelEntry], before: Sequence[TaskLabel]) -> tuple[TaskLabel, ...]:
    """Labels with values and colors, where they were left out the next free ones. Raises PromptError."""
    if len(entries) > MOST_LABELS:
        raise PromptError(f"{len(entries)} labels", f"at most {MOST_LABELS}", "use fewer")
    taken = {entry.value for entry in entries if entry.value is not None}
    earlier = {label.value: label for label in before}
    labels = list[TaskLabel]()
    for entry in entries:
        value = entry.value
        if value is None:
            value = next(number for number in range(1, MOST_LABELS + 2) if number not in taken)
            taken.add(value)
        if not -(2**31) <= value < 2**31:
            raise PromptError(f"the label value {value}", "a whole number of 32 bits", "choose another value")
        default = earlier[value].color if value in earlier else hex_color(len(labels) + 1)
        color = entry.color or default
        if not _COLOR.fullmatch(color):
            raise PromptError(f"the color '{color[:40]}'", "#rrggbb", "correct it")
        labels.append(TaskLabel(value, checked_name(entry.name), color.lower()))
    return tuple(labels)


def checked_name(name: str) -> str:
    """A name in one line; PromptError for an empty or a long one."""
    name = " ".join(name.split())
    if not 0 < len(name) <= _LONGEST_NAME:
        raise PromptError(f"a name of {len(name)} characters", f"1 to {_LONGEST_NAME}", "choose another name")
    return name


def hex_color(number: int) -> str:
    """The color of a class number as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*color_of(number))
