"""Labeling by example without a window: examples, sessions and corrections of the images of layers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.session import Session
from mvg.prediction.slice_plane import SlicePlane, planes_of

SliceUpdate = tuple[int, int, NDArray[Any]]
"""Axis and index of a slice of a layer's array, and its labels."""


@dataclass(frozen=True, eq=False)
class Example:
    """An image and its labels, by name."""

    name: str
    image: Volume
    labels: LabelMap


class Labeling:
    """The examples of a task and the session of the image that is being labeled.

    Arrays are those of layers: (z, y, x). `load()` is called once, when the first prediction needs the weights.
    """

    def __init__(self, load: Callable[[], Predictor]) -> None:
        self.examples: list[Example] = []
        self._load, self._predictor = load, list[Predictor]()
        self._task: tuple[tuple[Example, ...], PromptedTask] | None = None
        self._open: _Open | None = None

    def open(self, image: Volume, values: Sequence[int]) -> None:
        """Label an image: with the examples if there are some, else with these label values. What was open is left."""
        session = self.task().open(image) if self.examples else self._model().open(image, values)
        self._open = _Open(session, np.zeros(image.shape[::-1], _smallest(session.values)))

    @property
    def displayed(self) -> NDArray[Any]:
        """The labels as they were displayed last, without what was painted since."""
        return self._opened().displayed

    @property
    def values(self) -> tuple[int, ...]:
        """The label values of the open session."""
        return self._opened().session.values

    def take(self, labels: NDArray[Any], axis: int, confirmed: Sequence[int] = ()) -> list[int]:
        """Make the slices across `axis` that were painted, and those that are confirmed, corrections; their indices.

        labels: the layer as it is now. Raises PromptError for a label that the task lacks; nothing is taken then.
        """
        opened = self._opened()
        others = tuple(other for other in range(3) if other != axis)
        painted = set(np.flatnonzero((labels != opened.displayed).any(axis=others)).tolist())
        indices = sorted(painted | set(confirmed))
        unknown = np.setdiff1d(np.unique(labels.take(indices, axis)), (0, *self.values)) if indices else np.zeros(0)
        if len(unknown):
            raise PromptError(
                f"the label {int(unknown[0])}", f"0 or one of {', '.join(map(str, self.values))}",
                "paint with these, or choose others and begin again",
            )  # fmt: skip
        for index in indices:
            opened.correct(2 - axis, index, labels.take(index, axis))
        return indices

    def updates(self) -> Iterator[SliceUpdate]:
        """Predict what is open: the slices whose labels change, beside the last correction first."""
        yield from self._opened().updates()

    def undo(self) -> list[SliceUpdate]:
        """Take back the last correction: its slice as it was before; nothing where there is none."""
        return self._opened().undo()

    def uncertain(self) -> tuple[int, int] | None:
        """Axis and index of the slice that is worth correcting next; None where all were corrected."""
        session = self._opened().session
        axis = SlicePlane(session.volume, session.plane).axis
        chosen = session.uncertain(1)
        return (2 - axis, chosen[0]) if chosen else None

    def task(self) -> PromptedTask:
        """The task that the examples show. Raises PromptError without any, and what `Predictor.prompt` raises."""
        if not self.examples:
            raise PromptError("no example", "an image and its labels", "add an example first")
        key = tuple(self.examples)
        if self._task is None or self._task[0] != key:
            images, labels = [one.image for one in key], [one.labels for one in key]
            self._task = key, self._model().prompt(images, labels, names=[one.name for one in key])
        return self._task[1]

    def _model(self) -> Predictor:
        if not self._predictor:
            self._predictor.append(self._load())
        return self._predictor[0]

    def _opened(self) -> "_Open":
        if self._open is None:
            raise PromptError("no image that is being labeled", "a chosen image", "press Answer first")
        return self._open


@dataclass(eq=False)
class _Open:
    """A session and the labels that are displayed for it; before: a slice as it was before each correction."""

    session: Session
    displayed: NDArray[Any]
    before: list[SliceUpdate] = field(default_factory=list)

    def correct(self, array_axis: int, index: int, labels: NDArray[Any]) -> None:
        """array_axis: of the volume, whose array is that of the layer turned around."""
        volume = self.session.volume
        plane = next(plane for plane in planes_of(volume) if SlicePlane(volume, plane).axis == array_axis)
        axis = 2 - array_axis
        self.before.append((axis, index, self.displayed.take(index, axis).copy()))
        self.session.correct(index, labels.T, plane)
        self._put(axis, index, labels)

    def updates(self) -> Iterator[SliceUpdate]:
        axis = 2 - SlicePlane(self.session.volume, self.session.plane).axis
        for index, labels in self.session.updates():
            self._put(axis, index, labels.T)
            yield axis, index, labels.T

    def undo(self) -> list[SliceUpdate]:
        if not self.session.undo():
            return []
        update = self.before.pop()
        self._put(*update)
        return [update]

    def _put(self, axis: int, index: int, labels: NDArray[Any]) -> None:
        self.displayed[tuple(index if other == axis else slice(None) for other in range(3))] = labels


def _smallest(values: Sequence[int]) -> np.dtype[Any]:
    """The smallest integer type of labels in napari that holds the values."""
    return np.dtype(np.uint8) if max(values) < 256 and min(values) >= 0 else np.dtype(np.int32)
