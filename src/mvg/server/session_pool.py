"""The sessions in memory: opened when needed, and left to their files when they are idle or memory is short."""

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from mvg.imaging.volume import Volume
from mvg.prediction.picture_session import PictureSession
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.session import Session
from mvg.server.device_queue import DeviceQueue
from mvg.server.events import Channel
from mvg.server.index import Work
from mvg.server.library import Library
from mvg.server.live_session import ClosedError, LiveSession
from mvg.server.prediction_run import SessionParts
from mvg.server.refusals import conflict, missing
from mvg.server.task_models import TaskModels
from mvg.server.task_records import TaskRecord, TaskRecords
from mvg.server.workspace import Workspace, checked_id

Result = TypeVar("Result")
IDLE_SECONDS = 600.0
OUTDATED_SECONDS = 120.0
MEMORY_BYTES = 2 * 2**30
MOST_WITH_FEATURES = 6  # sessions that keep the features of their slices


class SessionPool:
    """Sessions by id. Safe for several threads; one session is opened at a time."""

    def __init__(
        self, workspace: Workspace, library: Library, records: TaskRecords, models: TaskModels, queue: DeviceQueue,
        predictor: Callable[[], Predictor], channel: Channel,
    ) -> None:  # fmt: skip
        self._workspace, self._library, self._records, self._models = workspace, library, records, models
        self._queue, self._predictor, self._channel = queue, predictor, channel
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._sessions: dict[str, LiveSession] = {}

    def get(self, session: str) -> LiveSession:
        """The session with an id, from memory or from its files. RefusedError for an id that was never opened."""
        task, study = _parts(session)
        record = self._records.get(task)
        with self._lock:
            live = self._sessions.get(session)
            if live is not None and live.parts.record.values == record.values:
                live.used = time.monotonic()
                return live
        if not self._workspace.session(task, study).is_dir():
            raise missing("session", session, "open the study again")
        return self.open(task, study)

    def open(self, task: str, study: str) -> LiveSession:
        """The session of a study for a task; with the task's newest examples unless it is being used."""
        record, identity = self._records.get(task), f"{task}.{study}"
        with self._opening:
            with self._lock:
                live = self._sessions.get(identity)
            prompted = self._models.prompted(task)
            if live is not None and (live.parts.prompted is prompted and live.parts.record.values == record.values):
                live.used = time.monotonic()
                return live
            if live is not None and not self._drop(live):
                return live
            self.make_room()
            live = self._opened(record, study, prompted)
            with self._lock:
                self._sessions[identity] = live
            return live

    def change(self, session: str, operation: Callable[[LiveSession], Result]) -> Result:
        """The result of an operation on a session, which may leave memory before the operation begins."""
        while True:
            try:
                return operation(self.get(session))
            except ClosedError:
                continue

    def release(self, session: str) -> None:
        """Leave a session to its files, unless it is predicting."""
        with self._lock:
            live = self._sessions.get(session)
        if live is not None:
            self._drop(live)

    def release_task(self, task: str) -> None:
        """Leave all sessions of a task to their files. RefusedError where one is predicting."""
        self._release(lambda live: live.parts.record.id == task)

    def release_study(self, study: str) -> None:
        """Leave all sessions of a study to their files. RefusedError where one is predicting."""
        self._release(lambda live: live.parts.study.id == study)

    def release_idle(self, seconds: float = IDLE_SECONDS) -> int:
        """Leave those to their files that nobody used for that long; how many."""
        limit = time.monotonic() - seconds
        with self._lock:
            idle = [live for live in self._sessions.values() if live.used < limit]
        return sum(self._drop(live) for live in idle)

    def release_outdated(self, seconds: float = OUTDATED_SECONDS) -> int:
        """Leave those to their files that nobody used for that long and whose task has other examples now; how many.

        Each holds the encoded examples of its time. When it is used again it is opened with those of then.
        """
        limit = time.monotonic() - seconds
        with self._lock:
            idle = [live for live in self._sessions.values() if live.used < limit]
        return sum(self._drop(live) for live in idle if self._is_outdated(live))

    def _is_outdated(self, live: LiveSession) -> bool:
        newest = self._models.in_memory(live.parts.record.id)
        return newest is not None and newest is not live.parts.prompted

    def in_memory(self) -> list[str]:
        """The ids of the sessions in memory."""
        with self._lock:
            return list(self._sessions)

    def close(self) -> None:
        """Close the files of all sessions."""
        with self._lock:
            for live in self._sessions.values():
                live.close()
            self._sessions.clear()

    def _opened(self, record: TaskRecord, study: str, prompted: PromptedTask | None) -> LiveSession:
        if record.has_labels and not record.labels:
            raise conflict("a task without labels", "at least one label", "add a label to the task first")
        read_study = self._library.study(study)
        folder = self._workspace.session(record.id, study)
        folder.mkdir(parents=True, exist_ok=True)
        open_session = partial(self._open_session, record, read_study.volume, prompted)
        changed = partial(self._keep_state, record.id, study)
        return LiveSession(SessionParts(record, read_study, prompted, open_session, folder, self._queue, changed))

    def _open_session(
        self, record: TaskRecord, volume: Volume, prompted: PromptedTask | None, report: Callable[[int, int], None]
    ) -> Session | PictureSession:
        if not record.has_labels:
            return PictureSession(volume)
        if prompted is not None:
            return prompted.open(volume, report)
        return self._predictor().open(volume, record.values)

    def _keep_state(self, task: str, study: str, work: Work) -> None:
        self._library.index.set_work(task, study, work)
        self._channel.send("state", {"task": task, "study": study})

    def make_room(self) -> None:
        """Leave the sessions to their files that were not used for the longest time, until there is memory again."""
        while True:
            with self._lock:
                by_use = sorted(self._sessions.values(), key=lambda live: live.used)
            if sum(live.nbytes for live in by_use) < MEMORY_BYTES or not any(self._drop(live) for live in by_use[:-1]):
                return

    def _release(self, chosen: Callable[[LiveSession], bool]) -> None:
        with self._lock:
            sessions = [live for live in self._sessions.values() if chosen(live)]
        for live in sessions:
            if not self._drop(live):
                raise conflict("a prediction that is running", "a session at rest", "wait or stop it first")

    def limit_features(self) -> None:
        """Let only the sessions that were used last keep the features of their slices.

        Also for sessions that are predicting: a first prediction needs the features of each slice about once.
        """
        with self._lock:
            by_use = sorted(self._sessions.values(), key=lambda live: -live.used)
        for live in by_use[MOST_WITH_FEATURES:]:
            live.forget_features()

    def _drop(self, live: LiveSession) -> bool:
        """Leave a session to its files; False while it is predicting."""
        if not live.model_lock.acquire(blocking=False):
            return False
        try:
            with live.core.lock, self._lock:
                self._sessions.pop(live.id, None)
                live.close()
        finally:
            live.model_lock.release()
        return True


def _parts(session: str) -> tuple[str, str]:
    task, _, study = session.partition(".")
    try:
        return checked_id(task), checked_id(study)
    except KeyError as error:
        raise missing("session", session) from error


def session_folder(workspace: Workspace, session: str) -> Path:
    """The folder of a session's files."""
    return workspace.session(*_parts(session))
