"""Pictures of the demo's exhibits: labels in color over the image, voids outlined."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.app.demo.exhibit import Exhibit
from mvg.app.demo.measures import Measure
from mvg.imaging.orientation import CUT_AXIS
from mvg.imaging.overlay import fill, outline, plain
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.imaging.window import Window, guess_modality
from mvg.tasks import spec_of

_VOID_LABEL = 1  # its color outlines voids
_MARGIN = 6  # pixels around the foreground


@dataclass(frozen=True, eq=False)
class ExhibitResult:
    """An exhibit with its prediction.

    rival: a name for what the measures are compared with, or ""; seconds: to encode the prompts and predict.
    """

    exhibit: Exhibit
    prediction: LabelMap | Volume
    measures: tuple[Measure, ...]
    rival: str
    seconds: float

    @property
    def slice_count(self) -> int:
        """The number of slices of the query."""
        query = self.exhibit.query
        return len(query.pictures(query.plane))


@dataclass(frozen=True, eq=False)
class Panel:
    """An RGB picture (rows, cols, 3) of 8 bits with its caption; is_prediction: the model made it."""

    caption: str
    picture: NDArray[np.uint8]
    is_prediction: bool = False


def panels(result: ExhibitResult, index: int) -> tuple[Panel, ...]:
    """The nearest prompt pair, slice `index` of the query, of the prediction and, where it is known, of the truth."""
    exhibit, query, truth = result.exhibit, result.exhibit.query, result.exhibit.truth
    number = _nearest_prompt(exhibit.images, query, index)
    image, target = exhibit.images[number], exhibit.targets[number]
    prompt_view, query_view = _View.of(image, query.plane, 0), _View.of(query, query.plane, index)
    target_window = _window(image if spec_of(exhibit.task).residual else target)
    prediction_window = _window(truth if isinstance(truth, Volume) else target)
    drawn = [
        Panel("prompt: image", prompt_view.draw(image, _window(image))),
        Panel("prompt: target", prompt_view.draw(target, target_window)),
        Panel("query", query_view.draw(query, _window(query))),
        Panel("prediction", query_view.draw(result.prediction, prediction_window, exhibit.void), is_prediction=True),
    ]
    if truth is not None:
        drawn.append(Panel(exhibit.truth_caption, query_view.draw(truth, prediction_window)))
    return tuple(drawn)


@dataclass(frozen=True, eq=False)
class _View:
    """One slice of an image, cropped to the foreground; volumes on the image's grid are drawn in it."""

    image: Volume
    plane: Plane
    index: int
    crop: tuple[slice, slice]

    @classmethod
    def of(cls, image: Volume, plane: Plane, index: int) -> "_View":
        return cls(image, plane, index, _foreground(image.pictures(plane)[index]))

    def draw(
        self, target: Volume | LabelMap, window: Window, void: NDArray[np.bool_] | None = None
    ) -> NDArray[np.uint8]:
        """RGB (rows, cols, 3): a picture in `window`, or labels over the image in the image's own window.

        void: (X, Y, Z) voxels on the image's grid whose slice is outlined.
        """
        if isinstance(target, LabelMap):
            return fill(_window(self.image).apply(self._slice(self.image)), self._slice(target))
        gray = window.apply(self._slice(target))
        if void is None:
            return plain(gray)
        return outline(gray, _VOID_LABEL * (self._slice(LabelMap(void, self.image.affine)) > 0))

    def _slice(self, volume: Volume | LabelMap) -> NDArray[Any]:
        picture: NDArray[Any] = volume.pictures(self.plane)[self.index][self.crop]
        return picture


def _nearest_prompt(images: Sequence[Volume], query: Volume, index: int) -> int:
    """The prompt (of one slice) that is nearest to a slice of the query, in mm across the query's plane."""
    axis = CUT_AXIS[query.plane]
    affine = query.canonical().affine
    position = affine[axis, axis] * index + affine[axis, 3]
    return int(np.argmin([abs(image.affine[axis, 3] - position) for image in images]))


def _window(volume: Volume | LabelMap) -> Window:
    return Window.fit(volume.voxels, guess_modality(volume.voxels))


def _foreground(picture: NDArray[Any]) -> tuple[slice, slice]:
    """The rows and columns around everything that is not background."""
    bright = Window.fit(picture, guess_modality(picture)).apply(picture) > 0.1
    bounds = ndimage.find_objects(ndimage.binary_opening(bright).astype(np.int8))
    if not bounds:
        return slice(None), slice(None)
    rows, cols = (slice(max(0, edge.start - _MARGIN), edge.stop + _MARGIN) for edge in bounds[0])
    return rows, cols
