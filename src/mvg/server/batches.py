"""Batches: many studies predicted one after the other, in turns with the sessions; they go on after a restart."""

import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mvg._atomic import atomic_file
from mvg.errors import MvgError
from mvg.server.events import Channel
from mvg.server.refusals import RefusedError, conflict, line_of, missing
from mvg.server.workspace import Workspace, checked_id

_MOST_FAILURES = 1000


@runtime_checkable
class StudyPredictor(Protocol):
    """Predicts one study for a task and keeps the prediction."""

    def is_open(self, task: str, study: str, since: float) -> bool:
        """Whether the study still needs a prediction of a batch that was made at `since`."""

    def predict(self, task: str, study: str, report: Callable[[int, int], None]) -> None:
        """Predict a study; `report(done, total)` may raise StoppedError, which ends it."""


class StoppedError(Exception):
    """The batch was cancelled, or the server stops."""


@dataclass(eq=False)
class Batch:
    """A list of studies for a task; state: running, finished, cancelled or interrupted."""

    id: str
    task: str
    studies: list[str]
    created: float
    state: str = "running"
    failed: dict[str, str] = field(default_factory=dict)
    done: int = 0
    current: str | None = None
    slice: tuple[int, int] | None = None
    seconds_each: float | None = None
    waiting: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def description(self) -> dict[str, Any]:
        """The batch as the interface states it."""
        left = len(self.studies) - self.done - len(self.failed)
        seconds = None if self.seconds_each is None or self.state != "running" else round(left * self.seconds_each, 1)
        return {
            "id": self.id, "task": self.task, "state": self.state, "total": len(self.studies), "done": self.done,
            "failed": [{"study": study, "error": error} for study, error in self.failed.items()],
            "current": self.current, "slice": self.slice, "waiting": self.waiting, "created": self.created,
            "seconds_left": seconds,
        }  # fmt: skip


class Batches:
    """The batches of a workspace. A batch's file is written before a call returns. Safe for several threads."""

    def __init__(self, workspace: Workspace, channel: Channel, predictor: StudyPredictor) -> None:
        self._workspace, self._channel, self._predictor = workspace, channel, predictor
        self._lock = threading.RLock()
        self._batches: dict[str, Batch] = {}
        self._threads: dict[str, threading.Thread] = {}
        for path in sorted(workspace.tasks.glob("*/batches/*.json")):
            batch = _read(path)
            if batch is not None:
                self._batches[batch.id] = batch

    def start(self, task: str, studies: list[str]) -> Batch:
        """Begin a batch of these studies. RefusedError for none, or where one of the task is running."""
        if not studies:
            raise conflict("no study to predict", "studies without a prediction", "choose others or rescan the folder")
        with self._lock:
            self._check_idle(task)
            batch = Batch(f"b-{secrets.token_hex(4)}", task, list(dict.fromkeys(studies)), time.time())
            self._batches[batch.id] = batch
            self._save(batch)
            self._run(batch)
        return batch

    def get(self, batch: str) -> Batch:
        """A batch; RefusedError where there is none."""
        with self._lock:
            if batch not in self._batches:
                raise missing("batch", batch)
            return self._batches[batch]

    def all(self, task: str | None = None) -> list[Batch]:
        """The batches, of one task where it is named, the newest first."""
        with self._lock:
            batches = [batch for batch in self._batches.values() if task in (None, batch.task)]
        return sorted(batches, key=lambda batch: -batch.created)

    def cancel(self, batch: str) -> Batch:
        """Stop a batch after the slice that is being predicted; what is finished stays."""
        chosen = self.get(batch)
        with self._lock:
            if chosen.state == "running":
                chosen.stop.set()
                chosen.state = "cancelled"
                self._save(chosen)
        self._join(batch)
        self._tell(chosen)
        return chosen

    def resume(self, batch: str) -> Batch:
        """Go on with a batch that was cancelled or interrupted, or try again what failed."""
        chosen = self.get(batch)
        with self._lock:
            if chosen.state == "running":
                return chosen
            self._check_idle(chosen.task)
            chosen.state, chosen.failed, chosen.stop = "running", {}, threading.Event()
            self._save(chosen)
            self._run(chosen)
        return chosen

    def stop_task(self, task: str) -> None:
        """Cancel what runs for a task and forget its batches."""
        for batch in self.all(task):
            self.cancel(batch.id)
            with self._lock:
                self._batches.pop(batch.id, None)

    def close(self) -> None:
        """Stop all batches; they can be resumed after a restart."""
        for batch in self.all():
            batch.stop.set()
        for batch in self.all():
            self._join(batch.id)

    def _check_idle(self, task: str) -> None:
        if any(batch.task == task and batch.state == "running" for batch in self._batches.values()):
            raise conflict("a batch of this task is running", "one batch at a time", "wait for it or cancel it")

    def _run(self, batch: Batch) -> None:
        thread = threading.Thread(target=self._work, args=(batch,), name=batch.id, daemon=True)
        self._threads[batch.id] = thread
        thread.start()

    def _join(self, batch: str) -> None:
        thread = self._threads.get(batch)
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=60)

    def _work(self, batch: Batch) -> None:
        stop = batch.stop  # a resumed batch has another one
        batch.done = sum(not self._predictor.is_open(batch.task, study, batch.created) for study in batch.studies)
        self._tell(batch)
        try:
            for study in batch.studies:
                if self._predictor.is_open(batch.task, study, batch.created):
                    self._predict(batch, study, stop)
                if stop.is_set():
                    return
        except StoppedError:
            return
        finally:
            batch.current, batch.slice = None, None
        with self._lock:
            batch.state = "finished"
            self._save(batch)
        self._tell(batch)

    def _predict(self, batch: Batch, study: str, stop: threading.Event) -> None:
        batch.current, batch.slice, start = study, None, time.monotonic()

        def report(done: int, total: int) -> None:
            if stop.is_set():
                raise StoppedError
            batch.slice = (done, total)
            self._tell(batch)

        report(0, 1)
        try:
            self._predictor.predict(batch.task, study, report)
        except (MvgError, RefusedError, OSError, MemoryError) as error:
            with self._lock:
                if len(batch.failed) < _MOST_FAILURES:
                    batch.failed[study] = line_of(error)
                self._save(batch)
        else:
            batch.done += 1
            seconds = time.monotonic() - start
            batch.seconds_each = seconds if batch.seconds_each is None else 0.7 * batch.seconds_each + 0.3 * seconds
        self._tell(batch)

    def _tell(self, batch: Batch) -> None:
        self._channel.send("batch", batch.description())

    def _save(self, batch: Batch) -> None:
        folder = self._workspace.task(batch.task) / "batches"
        folder.mkdir(parents=True, exist_ok=True)
        facts = {
            "id": batch.id, "task": batch.task, "studies": batch.studies, "created": batch.created,
            "state": batch.state, "failed": batch.failed,
        }  # fmt: skip
        with atomic_file(folder / f"{checked_id(batch.id)}.json") as temporary:
            temporary.write_text(json.dumps(facts), encoding="utf-8")


def _read(path: Path) -> Batch | None:
    """The batch in a file; one that was running was interrupted. None for a file that is none."""
    try:
        batch = Batch(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    interrupted = replace(batch, state="interrupted") if batch.state == "running" else batch
    return interrupted
