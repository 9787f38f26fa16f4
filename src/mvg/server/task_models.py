"""The model with the examples of a task: made when it is needed, kept while memory allows, saved as a task file."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mvg._atomic import atomic_file
from mvg.errors import MvgError, PromptError
from mvg.imaging.files import read_gray, read_labels
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.corrections import on_grid_of
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.server import intake
from mvg.server.finished import finished_path
from mvg.server.library import Library
from mvg.server.refusals import RefusedError, conflict
from mvg.server.task_records import Example, TaskRecord, TaskRecords
from mvg.server.workspace import Workspace

_KEPT = 4  # tasks in memory


@dataclass(frozen=True, eq=False)
class _Kept:
    """A task in memory. key: see `TaskModels._key`; planned: of how many examples its magnification is made."""

    key: str
    record: TaskRecord
    task: PromptedTask
    planned: int


class TaskModels:
    """Tasks that are ready to predict. Safe for several threads; one task is made at a time."""

    def __init__(
        self, workspace: Workspace, library: Library, records: TaskRecords, predictor: Callable[[], Predictor]
    ) -> None:
        self._workspace, self._library, self._records, self._predictor = workspace, library, records, predictor
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def prompted(self, task: str) -> PromptedTask | None:
        """The task with its examples; None without any. Raises MvgErrors where an example cannot be used."""
        with self._lock:
            record = self._records.get(task)
            if not record.ready:
                return None
            key = self._key(record)
            kept = self._kept.get(task)
            if kept is None or kept.key != key:
                extended = self._extended(record, key, kept) if kept is not None else None
                self._kept[task] = extended or self._anew(record, key)
            self._kept.move_to_end(task)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return self._kept[task].task

    def in_memory(self, task: str) -> PromptedTask | None:
        """The task as it was made last; None where it is not in memory. Makes nothing and waits for nothing."""
        kept = self._kept.get(task)
        return None if kept is None else kept.task

    def message(self, record: TaskRecord) -> str | None:
        """One line where an example cannot be read."""
        for example in record.examples:
            try:
                self._pair_paths(record, example)
            except (MvgError, RefusedError) as error:
                return f"example '{example.name}': {error}"
        return None

    def save(self, task: str) -> Path:
        """The task as a file of the workspace. RefusedError without examples."""
        prompted = self.prompted(task)
        if prompted is None:
            raise conflict("a task without examples", "at least one example", "add an example first")
        record = self._records.get(task)
        path, stamp = self._files(record)
        key = self._key(record)
        if not (path.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == key):
            stamp.unlink(missing_ok=True)
            prompted.save(path)
            with atomic_file(stamp) as temporary:
                temporary.write_text(key, encoding="utf-8")
        return path

    def pair(self, record: TaskRecord, example: Example) -> tuple[Volume, LabelMap | Volume]:
        """The image and the target of an example."""
        image_path, target_path = self._pair_paths(record, example)
        is_study = example.study is not None
        image = self._library.study(str(example.study)).volume if is_study else read_gray(image_path)
        if not record.has_labels:
            return image, read_gray(target_path)
        return image, on_grid_of(read_labels(target_path), image)

    def _pair_paths(self, record: TaskRecord, example: Example) -> tuple[Path, Path]:
        folder = self._workspace.folder
        if example.origin == "upload":
            root = self._records.folder(record.id) / "examples" / example.id
            image, target = (next(iter(sorted(root.glob(f"{part}/image.*"))), root / part) for part in ("a", "b"))
            return intake.check_file(image, folder), intake.check_file(target, folder)
        assert example.study is not None, "only uploads have no study"
        row = self._library.row(example.study)
        image = self._library.path(row)
        if example.target == "finished":
            return image, intake.check_file(finished_path(self._records.folder(record.id), row), folder)
        if example.target == "labels":
            if row.file.labels is None:
                raise PromptError(f"'{row.file.path}' has no labels beside it", "a label file", "remove the example")
            return image, intake.check_file(folder / row.file.labels, folder)
        other = self._library.row(example.target)
        return image, intake.check_file(self._library.path(other), folder)

    def _made(self, record: TaskRecord) -> PromptedTask:
        predictor = self._predictor()
        if record.base is not None:
            task = predictor.load_task(self._records.folder(record.id) / "imported.mvgtask")
            for example in record.examples:
                task = self._with(task, record, example)
            return task
        pairs = [self.pair(record, example) for example in record.examples]
        images, targets = zip(*pairs, strict=True)
        labels = record.values if record.has_labels else None
        names = [example.name for example in record.examples]
        return predictor.prompt(list(images), list(targets), record.kind, names=names, labels=labels)

    def _anew(self, record: TaskRecord, key: str) -> _Kept:
        return _Kept(key, record, self._saved(record, key) or self._made(record), len(record.examples))

    def _extended(self, record: TaskRecord, key: str, kept: _Kept) -> _Kept | None:
        """The task in memory with the examples that were added since.

        None where more has changed, and where there are twice as many examples as those that its magnification was
        chosen for: the first one alone would decide it for all.
        """
        before, task = kept.record, kept.task
        same = (record.base, record.values, record.kind) == (before.base, before.values, before.kind)
        count = len(before.examples)
        if not (same and record.has_labels and record.examples[:count] == before.examples and count):
            return None
        if record.base is None and len(record.examples) >= 2 * kept.planned:
            return None
        for example in record.examples[count:]:
            task = self._with(task, record, example)
        return replace(kept, key=key, record=record, task=task)

    def _with(self, task: PromptedTask, record: TaskRecord, example: Example) -> PromptedTask:
        image, labels = self.pair(record, example)
        if not isinstance(labels, LabelMap):
            raise PromptError("a further example of an imported task with pictures", "none", "make a new task")
        return task.with_example(image, labels)

    def _saved(self, record: TaskRecord, key: str) -> PromptedTask | None:
        path, stamp = self._files(record)
        try:
            if stamp.read_text(encoding="utf-8") == key:
                return self._predictor().load_task(path)
        except (OSError, MvgError):
            pass
        return None

    def _files(self, record: TaskRecord) -> tuple[Path, Path]:
        folder = self._records.folder(record.id)
        return folder / "prompts.mvgtask", folder / "prompts.key"

    def _key(self, record: TaskRecord) -> str:
        """Names all that the prompts are made of: another key, other prompts."""
        parts: list[object] = [record.kind, record.values, record.base, self._predictor().name]
        for example in record.examples:
            files = [path.stat() for path in self._pair_paths(record, example)]
            parts.append([example.id, *((facts.st_size, facts.st_mtime_ns) for facts in files)])
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
