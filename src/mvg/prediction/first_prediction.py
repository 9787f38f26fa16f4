"""What a task predicts for the volume of a session without its corrections."""

import numpy as np
from numpy.typing import NDArray

from mvg.errors import PromptError
from mvg.imaging.frame import Frame
from mvg.imaging.volume import Plane, Volume
from mvg.prediction.inference.other_knowledge import OVERCONFIDENCE
from mvg.prediction.quality import Quality, quality_of
from mvg.prediction.result import Prediction
from mvg.prediction.selection.uncertain import likely_errors
from mvg.prediction.session_start import SessionStart

_LEAST_DOUBT = 0.001  # that a label is wrong


class FirstPrediction:
    """The prediction of a session's task for its volume, made when it is first needed."""

    def __init__(self, volume: Volume, start: SessionStart) -> None:
        self._volume, self._start = volume, start
        self._kept: Prediction | None = None
        self._slices: dict[Plane, tuple[NDArray[np.uint8], NDArray[np.float32]]] = {}

    @property
    def exists(self) -> bool:
        """Whether the session has a task with examples."""
        return self._start.first is not None

    @property
    def prediction(self) -> Prediction:
        """With its uncertainty. Raises PromptError without a task."""
        if self._start.first is None:
            raise PromptError(
                "a prediction before any slice is labeled", "a slice with a label", "label one slice first"
            )
        if self._kept is None:
            self._kept = self._start.first(self._volume)
        return self._kept

    @property
    def quality(self) -> Quality:
        """Estimates of its Dice. Raises PromptError without a task."""
        return quality_of(self.prediction) or Quality()

    def numbers(self, plane: Plane) -> NDArray[np.uint8]:
        """Class numbers (n, rows, cols)."""
        return self._along(plane)[0]

    def errors(self, plane: Plane) -> NDArray[np.float32]:
        """How probable it is that each label is wrong (n, rows, cols), in [0, 0.5]."""
        return self._along(plane)[1]

    def log_odds(self, plane: Plane, number: int, frame: Frame) -> NDArray[np.float32]:
        """Log-odds (K, s, s) of the classes in a slice, as the squares of a frame.

        They are as overconfident as those of the session, so that as many errors are expected from them.
        """
        numbers, errors = (array[number] for array in self._along(plane))
        doubt = np.maximum(frame.apply(errors) / OVERCONFIDENCE, _LEAST_DOUBT)
        labeled = frame.apply_labels(numbers) == np.arange(1, len(self._start.values) + 1)[:, None, None]
        sure = np.log(1 - doubt) - np.log(doubt)
        return np.asarray(np.where(labeled, sure, -sure), np.float32)

    def _along(self, plane: Plane) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        if plane not in self._slices:
            values = np.array((0, *self._start.values))
            order = np.argsort(values)
            labels = np.asarray(self.prediction.volume.pictures(plane))
            numbers = np.asarray(order[np.searchsorted(values, labels, sorter=order)], np.uint8)
            uncertainty = self.prediction.uncertainty
            assert uncertainty is not None, "the task predicts it with its labels"
            self._slices = {plane: (numbers, likely_errors(uncertainty.pictures(plane), len(self._start.values)))}
        return self._slices[plane]
