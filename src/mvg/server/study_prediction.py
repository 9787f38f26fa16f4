"""The prediction of one study of a batch, kept where a session of it would keep its own."""

import time
from collections.abc import Callable
from dataclasses import replace

from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap
from mvg.prediction.quality import Quality, quality_of
from mvg.prediction.result import Prediction
from mvg.prediction.selection.uncertain import likely_errors
from mvg.server.device_queue import DeviceQueue
from mvg.server.events import Channel
from mvg.server.index import Work
from mvg.server.library import Library, Study
from mvg.server.ras import PLANES
from mvg.server.session_files import PredictionFacts, SessionFiles, rounded_quality
from mvg.server.session_pool import SessionPool
from mvg.server.task_models import TaskModels
from mvg.server.workspace import Workspace


class BatchPredictor:
    """Predicts studies of batches, in turns with the sessions."""

    def __init__(
        self, workspace: Workspace, library: Library, models: TaskModels, sessions: SessionPool, queue: DeviceQueue,
        channel: Channel,
    ) -> None:  # fmt: skip
        self._workspace, self._library, self._models, self._sessions = workspace, library, models, sessions
        self._queue, self._channel = queue, channel

    def is_open(self, task: str, study: str, since: float) -> bool:
        """Whether the study has neither a prediction from then on nor corrections nor finished labels."""
        row = self._library.index.study(study, task)
        if row is not None and row.work.state in ("correcting", "done"):
            return False
        facts = SessionFiles(self._workspace.session(task, study)).read_facts()
        return facts is None or facts.updated < since

    def predict(self, task: str, study: str, report: Callable[[int, int], None]) -> None:
        """Predict a study; the prediction is on disk when this returns. Raises MvgErrors."""

        def on_slice(done: int, total: int) -> None:
            report(done, total)
            self._queue.let_others()

        read_study = self._library.study(study)
        with self._queue.turn():
            prompted = self._models.prompted(task)
            if prompted is None:
                raise PromptError("a task without examples", "at least one example", "add an example first")
            options = replace(prompted.options, uncertainty=prompted.spec.target_type == "labels")
            prediction = prompted.with_options(options)(read_study.volume, on_slice)
        facts = _facts(prediction, read_study, max(1, len(prompted.prompts.values)))
        row = self._library.index.study(study, task)
        if row is not None and row.work.state in ("correcting", "done"):
            return  # the user was quicker
        self._sessions.release(f"{task}.{study}")
        SessionFiles(self._workspace.session(task, study)).write_prediction(prediction.volume, facts)
        self._library.index.set_work(task, study, Work("answered", facts.quality, 0, facts.updated))
        self._channel.send("state", {"task": task, "study": study})


def _facts(prediction: Prediction, study: Study, classes: int) -> PredictionFacts:
    """The likely wrong pixels of each slice, and the quality that follows from them."""
    volume, grid = prediction.volume, study.grid
    axis = PLANES.index(study.volume.plane)
    if not isinstance(volume, LabelMap) or prediction.uncertainty is None:
        return PredictionFacts(0, axis, None, None, time.time())
    errors = likely_errors(grid.to_ras(prediction.uncertainty.voxels), classes)
    by_slice = errors.sum(axis=tuple(other for other in range(3) if other != axis))
    mean, by_label = rounded_quality(quality_of(prediction) or Quality())
    doubts = tuple(round(float(doubt), 2) for doubt in by_slice)
    return PredictionFacts(0, axis, doubts, mean, time.time(), by_label)
