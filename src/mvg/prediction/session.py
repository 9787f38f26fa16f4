"""A volume that a user labels slice by slice: every correction is a prompt of the other slices at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvg.errors import PromptError
from mvg.imaging.coloring import MOST_CLASSES
from mvg.imaging.frame import Frame, Spacing, extent_of
from mvg.imaging.orientation import CUT_AXIS, array_axes, orientation_of
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.model.generalist import Generalist
from mvg.prediction.annotations import Annotations, Edit, check_slice
from mvg.prediction.inference.query_volume import QueryVolume, smallest_integers
from mvg.prediction.inference.same_volume import SameVolume
from mvg.prediction.prompts.pairs import channels_first, windows_of
from mvg.prediction.prompts.zoom_plan import Extent, label_extent
from mvg.prediction.result import Prediction

_MARGIN = 1.5  # size of the magnified square, in sizes of the annotated labels
_KEPT_MARGIN = 1.2  # the square stays as it is while the labels lie within, with this margin
_MIN_MAGNIFICATION, _MAX_MAGNIFICATION = 1.2, 4.0
_MIN_SLICES = 3  # labeled slices, before which labels may lie anywhere in the other slices

UNKNOWN = 255
"""The label value of pixels in a correction that the user says nothing about, unless another value is named."""


@dataclass(frozen=True, eq=False)
class SessionStart:
    """What a session begins with.

    values: the label values; modality: "CT" if intensities are HU, else anything. first: the prediction of a task for
    the volume, None without one.
    """

    values: tuple[int, ...]
    modality: str
    first: Callable[[Volume], LabelMap] | None = None


class Session:
    """Corrections of one volume, and its prediction from them.

    session = predictor.open(volume, labels=[1, 2])
    session.correct(40, labels)             # voxels.take(40, axis) of a label map, in array order
    labels = session.predict().volume       # the corrected slice as it was given, all others predicted
    """

    def __init__(self, model: Generalist, volume: Volume, start: SessionStart) -> None:
        """See `Predictor.open` and `PromptedTask.open`, which make one."""
        self._model, self.volume, self._start = model, volume, start
        self.plane: Plane = volume.plane
        self._annotations = Annotations(volume)
        self._engine: SameVolume | None = None
        self._frame: Frame | None = None

    def correct(
        self, index: int, labels: NDArray[np.integer], plane: Plane | None = None, unknown: int = UNKNOWN
    ) -> None:
        """Set the labels of slice `index`: `labels` is `voxels.take(index, axis)` in array order.

        axis: the array axis that `plane` cuts across, `volume.plane` unless named. Pixels of the value `unknown` keep
        what is known of them. Raises GeometryError for a slice or shape that the volume does not have, PromptError for
        a label that the task lacks; the session stays as it was.
        """
        axis = axis_of(self.volume, plane or self.plane)
        labels = np.asarray(labels)
        check_slice(self.volume, axis, index, labels)
        known = labels != unknown
        self._annotations.set_slice(axis, index, self._numbered(labels, known), known)

    def undo(self) -> bool:
        """Take back the last correction; False where there is none."""
        return self._annotations.undo() is not None

    def redo(self) -> bool:
        """Repeat the correction that was taken back last; False where there is none."""
        return self._annotations.redo() is not None

    @property
    def corrections(self) -> tuple[Edit, ...]:
        """The corrections in effect."""
        return self._annotations.history

    def predict(self) -> Prediction:
        """The labels of the whole volume on its own grid; corrected voxels are as they were given, bit for bit.

        Raises PromptError where nothing was corrected and there is no task.
        """
        numbers, known = self._annotations.slices(self.plane)
        complete = {int(number): numbers[number] for number in np.flatnonzero(known.all(axis=(1, 2)))}
        if any(slice_numbers.any() for slice_numbers in complete.values()):
            predicted = self._predicted(numbers, complete)
        else:
            predicted = self._first()
        labels = smallest_integers(self._start.values)[np.where(known > 0, numbers, predicted)]
        labels.flags.writeable = False
        return Prediction(self.volume.from_pictures(labels, self.plane))

    def _predicted(self, numbers: NDArray[np.uint8], complete: dict[int, NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Class numbers of all slices, from the slices that are annotated completely."""
        engine = self._engine_for(np.stack(list(complete.values())))
        engine.annotate(complete)
        predicted = numbers.copy()
        for number in range(len(numbers)):
            if number not in complete:
                predicted[number] = engine.labels(number).numbers
        return predicted

    def _first(self) -> NDArray[np.uint8]:
        if self._start.first is None:
            raise PromptError(
                "a prediction before any slice is labeled", "a slice with a label, all of its pixels known",
                "label one slice first",
            )  # fmt: skip
        values = np.array((0, *self._start.values))
        labels = np.asarray(self._start.first(self.volume).pictures(self.plane))
        order = np.argsort(values)
        return np.asarray(order[np.searchsorted(values, labels, sorter=order)], np.uint8)

    def _engine_for(self, labels: NDArray[np.uint8]) -> SameVolume:
        """The engine, with a frame that holds the annotated labels (n, rows, cols)."""
        frame = self._frame_for(labels)
        if self._engine is None or frame != self._frame:
            slices = channels_first(self.volume.pictures(self.plane))
            query = QueryVolume(slices, self.plane, windows_of(self.volume, self._start.modality), (frame,))
            self._engine = SameVolume(self._model, query, len(self._start.values))
            self._frame = frame
        return self._engine

    def _frame_for(self, labels: NDArray[np.uint8]) -> Frame:
        """Whole slices at first; later a square around the annotated labels, which changes only when it has to."""
        rows, cols = labels.shape[1:]
        shape, spacing, size = (rows, cols), self.volume.pixel_spacing(self.plane), self._model.config.size
        whole = Frame.letterbox(shape, spacing, size)
        extent = label_extent(labels, spacing)
        labeled = int(labels.any(axis=(1, 2)).sum())
        if extent is None or labeled < _MIN_SLICES:
            return whole
        if self._frame is not None and self._frame != whole and _holds(self._frame, extent, spacing):
            return self._frame
        magnification = min(_MAX_MAGNIFICATION, 1 / (_MARGIN * extent.size))
        if magnification < _MIN_MAGNIFICATION:
            return whole
        return Frame.zoomed(shape, spacing, size, extent.center, magnification)

    def _numbered(self, labels: NDArray[np.integer], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
        values = (0, *self._start.values)
        numbers = np.zeros(labels.shape, np.uint8)
        for value in np.unique(labels[known]).tolist():
            if value not in values:
                raise PromptError(
                    f"the label {value} in a correction", f"one of {', '.join(map(str, values))}", "correct the labels"
                )
            numbers[known & (labels == value)] = values.index(value)
        return numbers


def axis_of(volume: Volume, plane: Plane) -> int:
    """The array axis that the slices of a plane lie across."""
    return array_axes(orientation_of(volume.affine))[CUT_AXIS[plane]]


def _holds(frame: Frame, extent: Extent, spacing: Spacing) -> bool:
    """Whether labels of this extent lie in the frame's part of a slice, with a margin."""
    reach = _KEPT_MARGIN * extent.size * max(extent_of(frame.shape, spacing)) / 2
    box = frame.source
    spans = ((box.top, box.rows), (box.left, box.cols))
    return all(
        first <= max(0.0, middle - reach / step) and min(length, middle + reach / step) <= first + count
        for (first, count), middle, step, length in zip(spans, extent.center, spacing, frame.shape, strict=True)
    )


def check_values(values: Sequence[int]) -> None:
    """Raises PromptError for label values that cannot be the classes of a session."""
    if not 0 < len(set(values)) == len(values) <= MOST_CLASSES or 0 in values:
        raise PromptError(
            f"the labels {', '.join(map(str, values)) or 'of an empty list'}",
            f"1 to {MOST_CLASSES} different values other than 0",
            "name the labels that the volume shall have",
        )
