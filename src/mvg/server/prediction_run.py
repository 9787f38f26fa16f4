"""One prediction of a study in the bench, slice by slice, each in a turn of its own on the device."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.inference.query_volume import smallest_integers
from mvg.prediction.picture_session import PictureSession
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.quality import Quality
from mvg.prediction.session import Session
from mvg.server.device_queue import DeviceQueue
from mvg.server.diffs import packed
from mvg.server.events import Send
from mvg.server.index import Work
from mvg.server.library import Study
from mvg.server.ras import PLANES
from mvg.server.session_files import PredictionFacts, SessionFiles, numbers_of, rounded_quality
from mvg.server.strokes import Strokes
from mvg.server.task_records import TaskRecord

OpenSession = Callable[[Callable[[int, int], None]], Session | PictureSession]
"""Opens the session of a study; is handed what reports the progress of a task's first prediction."""
Slices = Iterator[tuple[int, NDArray[np.integer]]]


@dataclass(frozen=True, eq=False)
class SessionParts:
    """What a session in the bench is made of.

    record, study: what it is for; prompted: the task with its examples, None without; open: see `OpenSession`; folder:
    of its files; queue: for the device; changed: called with the state whenever that changes.
    """

    record: TaskRecord
    study: Study
    prompted: PromptedTask | None
    open: OpenSession
    folder: Path
    queue: DeviceQueue
    changed: Callable[[Work], None]


@dataclass(eq=False)
class SessionCore:
    """What corrections and predictions of a session share. lock: held while strokes or the prediction change."""

    parts: SessionParts
    session: Session | PictureSession
    strokes: Strokes
    files: SessionFiles
    facts: PredictionFacts | None
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def plane(self) -> int:
        """The RAS axis across which slices are predicted."""
        return PLANES.index(self.session.plane)

    def labels(self) -> LabelMap:
        """The displayed labels on the study's own grid, with the values of the task."""
        with self.lock:
            voxels = smallest_integers(self.parts.record.values)[self.strokes.displayed_volume()]
        voxels.flags.writeable = False
        volume = self.parts.study.volume
        return LabelMap(voxels, volume.affine, volume.header)


class _StoppedError(Exception):
    """The reader of a prediction has gone, or a newer correction has come."""


class PredictionRun:
    """Predicts what is open, and sends events; ends early for a newer correction or where nobody reads."""

    def __init__(self, core: SessionCore, send: Send, stopped: Callable[[], bool]) -> None:
        self._core, self._send, self._stopped = core, send, stopped
        self._queue, self._grid = core.parts.queue, core.strokes.grid
        self._revision, self._axis = core.strokes.revision, core.plane
        self._start = time.monotonic()

    def run(self) -> bool:
        """Predict; whether it came to its end. Raises MvgErrors."""
        self._send("start", {"axis": self._axis, "slices": self._grid.shape[self._axis], "revision": self._revision})
        try:
            changed = self._labels() if isinstance(self._core.session, Session) else self._picture()
        except _StoppedError:
            if not self._stopped():
                self._send("superseded", {"revision": self._core.strokes.revision})
            return False
        facts = self._core.facts
        assert facts is not None, "it was just written"
        self._send("end", {
            "revision": self._revision, "changed": changed, "seconds": round(time.monotonic() - self._start, 2),
            "uncertainty": facts.uncertainty, "quality": facts.quality, "label_quality": facts.label_quality,
        })  # fmt: skip
        return True

    def report(self, done: int, total: int) -> None:
        """Send the progress of a task's first prediction, and let others have a turn."""
        self._check()
        self._send("progress", {"done": done, "total": total, "waiting": self._queue.waiting})
        self._queue.let_others()

    def _check(self) -> None:
        if self._stopped() or self._core.strokes.revision != self._revision:
            raise _StoppedError

    def _labels(self) -> int:
        session, strokes, axis = self._core.session, self._core.strokes, self._axis
        assert isinstance(session, Session)
        changed, total = 0, self._grid.shape[axis]
        for index, labels in self._in_turns(session.updates()):
            at = self._grid.native_index(axis, index)
            with self._core.lock:
                self._store(index, numbers_of(labels, session.values))
                pixels = strokes.displayed(axis, at)
            changed += 1
            self._send("slice", {"axis": axis, "index": at, "zlib": packed(pixels), "done": changed, "total": total})
            self._check()
        with self._queue.turn():
            doubts, quality = session.doubts(), session.quality()
        self._check()
        self._keep_labels({self._grid.native_index(axis, index): doubt for index, doubt in doubts.items()}, quality)
        return changed

    def _picture(self) -> int:
        session, task = self._core.session, self._core.parts.prompted
        if task is None or not isinstance(session, PictureSession):
            raise PromptError("a task without examples", "at least one example", "add an example first")
        with self._queue.turn():
            prediction = session.predict(task, self.report)
        self._check()
        assert isinstance(prediction.volume, Volume), "the task predicts pictures"
        self._keep(prediction.volume, PredictionFacts(self._revision, self._axis, None, None, time.time()))
        return self._grid.shape[self._axis]

    def _in_turns(self, updates: Slices) -> Slices:
        """The updates, each computed in a turn of its own."""
        while True:
            with self._queue.turn():
                update = next(updates, None)
            if update is None:
                return
            yield update

    def _store(self, index: int, numbers: NDArray[np.uint8]) -> None:
        """Keep the prediction of a slice, by its array index."""
        strokes, native = self._core.strokes, self._grid.axes[self._axis]
        if strokes.prediction is None:
            strokes.prediction = np.zeros(self._grid.native_shape, np.uint8)
        where = tuple(index if other == native else slice(None) for other in range(3))
        strokes.prediction[where] = numbers

    def _keep_labels(self, doubts: dict[int, float], quality: Quality) -> None:
        with self._core.lock:
            strokes = self._core.strokes
            if strokes.prediction is None:  # every slice was corrected whole
                strokes.prediction = strokes.displayed_volume()
            labels = self._core.labels()
        uncertainty = tuple(round(doubts.get(number, 0.0), 2) for number in range(self._grid.shape[self._axis]))
        mean, by_label = rounded_quality(quality)
        self._keep(labels, PredictionFacts(self._revision, self._axis, uncertainty, mean, time.time(), by_label))

    def _keep(self, volume: LabelMap | Volume, facts: PredictionFacts) -> None:
        """Write the whole prediction; it is on disk when this returns."""
        self._core.files.write_prediction(volume, facts)
        self._core.facts = facts


def progress_of(core: SessionCore) -> dict[str, Any]:
    """Where the corrections of a session stand, as the interface states it."""
    undo, redo = core.strokes.depth
    axis = core.plane
    whole = core.strokes.whole_slices(axis)
    return {
        "revision": core.strokes.revision, "undo": undo, "redo": redo, "plane": axis, "annotated": whole,
        "drawn": [index for index in core.strokes.drawn_slices(axis) if index not in set(whole)],
        "predicted_revision": None if core.facts is None else core.facts.revision,
    }  # fmt: skip
