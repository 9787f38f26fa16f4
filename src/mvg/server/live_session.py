"""A study in the bench for a task: corrections that are safe at once, and predictions that follow them.

Two locks: that of the core for corrections, held for milliseconds, and `model` for predictions, held for seconds. A
correction never waits for a prediction; it ends one that is running.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mvg.imaging.volume import LabelMap, Volume, luminance
from mvg.prediction.selection.uncertain import worth_correcting
from mvg.prediction.session import Session
from mvg.server.diffs import check_number, packed
from mvg.server.events import Send
from mvg.server.index import Work
from mvg.server.prediction_run import PredictionRun, SessionCore, SessionParts, progress_of
from mvg.server.refusals import RefusedError, conflict
from mvg.server.session_files import SessionFiles, state_of
from mvg.server.strokes import SliceEdit, Strokes

_FEATURE_BYTES = 64 * 2**20  # of a session that has predicted


class ClosedError(Exception):
    """The session has left memory; the pool opens it again."""


class LiveSession:
    """A session in memory; its files hold all of it. Safe for several threads."""

    def __init__(self, parts: SessionParts) -> None:
        self.parts, self.grid = parts, parts.study.grid
        self.model_lock = threading.Lock()
        self.used, self._closed, self._has_features = time.monotonic(), False, False
        self._report: Callable[[int, int], None] = _nothing
        session = parts.open(lambda done, total: self._report(done, total))
        files = SessionFiles(parts.folder)
        self.core = SessionCore(parts, session, Strokes(session, self.grid, files.journal), files, files.read_facts())
        self._restore()

    @property
    def id(self) -> str:
        """Names the session: the task and the study."""
        return f"{self.parts.record.id}.{self.parts.study.id}"

    @property
    def has_labels(self) -> bool:
        """Whether labels are predicted; else a picture."""
        return isinstance(self.core.session, Session)

    @property
    def nbytes(self) -> int:
        """About how much memory it takes: the volume, annotations, the prediction with its log-odds, and features."""
        voxels = int(np.prod(self.grid.native_shape))
        features = _FEATURE_BYTES if self._has_features else 0
        return self.parts.study.volume.voxels.nbytes + 6 * voxels + features

    @property
    def can_predict(self) -> bool:
        """Whether there is an example or a labeled slice to predict from."""
        if self.parts.prompted is not None:
            return True
        return self.has_labels and bool(self.core.session.annotations.numbers.any())

    @property
    def state(self) -> str:
        """How far the study is."""
        return state_of(self.core.strokes.depth[0], self.core.strokes.finished, self.core.facts is not None)

    def description(self) -> dict[str, Any]:
        """The session as the interface states it."""
        with self.core.lock:
            facts = self.core.facts
            return {
                "id": self.id, "task": self.parts.record.id, "study": self.parts.study.id,
                "target_type": self.parts.record.spec.target_type,
                "shape": list(self.grid.shape), "spacing": [round(step, 6) for step in self.grid.spacing],
                **self._progress(), "has_prediction": facts is not None,
                "quality": None if facts is None else facts.quality,
                "label_quality": None if facts is None else facts.label_quality,
                "uncertainty": None if facts is None or facts.uncertainty is None else list(facts.uncertainty),
                "void_pixels": 0 if self.has_labels else int((self.core.session.annotations.numbers > 0).sum()),
            }  # fmt: skip

    def correct(self, edits: Sequence[SliceEdit], stroke: str | None) -> dict[str, Any]:
        """Add a step of corrections; it is on disk when this returns. Raises PromptError for an unknown class."""
        classes = len(self.core.session.values)
        for edit in edits:
            for number in np.unique(edit.pixels).tolist():
                check_number(number, classes)
        with self._changing() as strokes:
            return self._change(strokes.correct(edits, stroke))

    def undo(self) -> dict[str, Any]:
        """Take back the last step."""
        with self._changing() as strokes:
            return self._change(strokes.undo())

    def redo(self) -> dict[str, Any]:
        """Repeat the step that was taken back last."""
        with self._changing() as strokes:
            return self._change(strokes.redo())

    def clear(self) -> dict[str, Any]:
        """Take back all steps."""
        with self._changing() as strokes:
            strokes.clear()
            return {**self._change(()), "slices": None}

    def copy(self, axis: int, source: int, target: int) -> dict[str, Any]:
        """Give the displayed labels of a slice to another one, whole."""
        with self.core.lock:
            return self.correct([SliceEdit(axis, target, self.core.strokes.displayed(axis, source))], None)

    def predict(self, send: Send, stopped: Callable[[], bool]) -> None:
        """Predict what is open and send it as events, see `PredictionRun`."""
        with self.model_lock:
            self.used, self._has_features = time.monotonic(), True
            run = PredictionRun(self.core, send, stopped)
            self._report = run.report
            try:
                if run.run():
                    self._notify()
            finally:
                self._report = _nothing
                self.used = time.monotonic()

    def forget_features(self) -> None:
        """Free the features of the slices, which the next prediction computes again as far as it needs them."""
        if isinstance(self.core.session, Session):
            self.core.session.forget_features()
        self._has_features = False

    def uncertain(self, count: int) -> dict[str, Any]:
        """The slices that are worth correcting next. RefusedError before a prediction."""
        facts = self.core.facts
        if facts is None or facts.uncertainty is None:
            raise conflict("no prediction yet", "a predicted study", "predict first")
        with self.core.lock:
            whole = set(self.core.strokes.whole_slices(facts.axis))
        doubts = {n: doubt for n, doubt in enumerate(facts.uncertainty) if doubt > 0 and n not in whole}
        return {"axis": facts.axis, "slices": list(worth_correcting(doubts, count))}

    def finished_labels(self) -> LabelMap:
        """The displayed labels, for acceptance. RefusedError where slices are neither predicted nor corrected."""
        with self.core.lock:
            if not self.has_labels:
                raise conflict("a picture", "labels", "export the picture")
            if self.core.strokes.prediction is None and not self.core.session.annotations.known.all():
                raise conflict("slices without labels", "a prediction, or every slice corrected", "predict first")
            return self.core.labels()

    def mark(self, operation: str) -> None:
        """Note that the study is finished ("finish") or goes on ("reopen")."""
        with self._changing() as strokes:
            strokes.mark(operation)
            self._notify()

    def picture(self) -> Volume:
        """The predicted picture. RefusedError before the first prediction."""
        picture = None if self.has_labels else self.core.files.read_picture()
        if picture is None:
            raise RefusedError(404, "no predicted picture yet", "a predicted study", "predict first")
        return picture

    def difference(self) -> Volume:
        """The predicted picture minus the query's brightness."""
        picture, query = self.picture(), luminance(self.parts.study.volume)
        return replace(picture, voxels=picture.voxels - query.voxels)

    def save(self, path: Path) -> None:
        """Write the study and its corrections as a `.mvgsession` file."""
        if not isinstance(self.core.session, Session):
            raise conflict("a session of pictures", "one of labels", "export the picture")
        with self.core.lock:
            self.core.session.save(path)

    def close(self) -> None:
        """Close its files before it leaves memory; later changes raise ClosedError."""
        self._closed = True
        self.core.files.journal.close()

    @contextmanager
    def _changing(self) -> Iterator[Strokes]:
        self.used = time.monotonic()
        with self.core.lock:
            if self._closed:
                raise ClosedError
            yield self.core.strokes

    def _change(self, slices: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """What a step changed, as the interface states it."""
        self._notify()
        parts = []
        for axis, index in dict.fromkeys(slices):
            pixels, given = self.core.strokes.displayed(axis, index), self.core.strokes.given(axis, index)
            parts.append({"axis": axis, "index": index, "zlib": packed(pixels), "corrections": packed(given)})
        return {**self._progress(), "slices": parts}

    def _progress(self) -> dict[str, Any]:
        return {**progress_of(self.core), "state": self.state, "can_predict": self.can_predict}

    def _restore(self) -> None:
        """Repeat the journal; the prediction is put where it was made, so that later undoing restores it."""
        strokes, facts = self.core.strokes, self.core.facts
        labels = None
        if facts is not None and self.has_labels:
            labels = self.core.files.read_numbers(self.core.session.values, self.grid.native_shape)
        for entry in self.core.files.journal.entries():
            if facts is not None and strokes.prediction is None and strokes.revision >= facts.revision:
                strokes.prediction = labels
            strokes.replay([entry])
        if strokes.prediction is None:
            strokes.prediction = labels

    def _notify(self) -> None:
        facts = self.core.facts
        quality = None if facts is None else facts.quality
        self.parts.changed(Work(self.state, quality, self.core.strokes.depth[0], time.time()))


def _nothing(done: int, total: int) -> None:
    """Reports nothing: no prediction is running."""
