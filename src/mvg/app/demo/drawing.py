"""Exhibits and their answers as pictures in RGB: labels in color over the image, voids outlined."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.app.demo.exhibits import Exhibit
from mvg.app.demo.measures import Measure
from mvg.imaging.overlay import fill, outline, plain
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.imaging.window import Window

_MARGIN = 6  # pixels left round what is not background
_AXES: dict[Plane, int] = {"sagittal": 0, "coronal": 1, "axial": 2}

_Box = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Shown:
    """An exhibit with the model's answer to it.

    rival: what the figures are compared with, in words, or ""; seconds: for encoding the prompts and answering.
    """

    exhibit: Exhibit
    answer: LabelMap | Volume
    measures: tuple[Measure, ...]
    rival: str
    seconds: float


@dataclass(frozen=True, eq=False)
class Panel:
    """A picture (rows, cols, 3) of 8 bits with its caption; "answer" is the caption of what the model made."""

    caption: str
    picture: NDArray[np.uint8]


def panels(shown: Shown, at: int) -> tuple[Panel, ...]:
    """A prompt pair, slice `at` of the query, of the answer and, where it is known, of the truth."""
    exhibit, query, truth = shown.exhibit, shown.exhibit.query, shown.exhibit.truth
    plane = query.plane
    pair = _nearest(exhibit.images, query, plane, at)
    image, target = exhibit.images[pair], exhibit.targets[pair]
    one, many = _filled(image.pictures(plane)[0]), _filled(query.pictures(plane)[at])
    inside = _window(image if exhibit.task != "synthesis" else target)
    right = _window(truth if isinstance(truth, Volume) else target)
    answer = _drawn(shown.answer, query, right, plane, at, many)
    if exhibit.task == "inpainting" and exhibit.region is not None:
        region = LabelMap(exhibit.region, query.affine).pictures(plane)[at][many]
        answer = outline(answer / 255, region)
    found = [
        Panel("prompt: image", _drawn(image, image, _window(image), plane, 0, one)),
        Panel("prompt: target", _drawn(target, image, inside, plane, 0, one)),
        Panel("query", _drawn(query, query, _window(query), plane, at, many)),
        Panel("answer", answer),
    ]
    if truth is not None:
        found.append(Panel(exhibit.truth_is, _drawn(truth, query, right, plane, at, many)))
    return tuple(found)


def _nearest(images: Sequence[Volume], query: Volume, plane: Plane, at: int) -> int:
    """The prompt (of one slice) that lies nearest to a slice of the query, in mm across the plane."""
    axis = _AXES[plane]
    grid = query.canonical().affine
    place = grid[axis, axis] * at + grid[axis, 3]
    return int(np.argmin([abs(image.affine[axis, 3] - place) for image in images]))


def _window(volume: Volume | LabelMap) -> Window:
    return Window.fit(volume.voxels)


def _drawn(
    what: Volume | LabelMap, under: Volume, window: Window, plane: Plane, at: int, box: _Box
) -> NDArray[np.uint8]:
    """A slice as RGB (rows, cols, 3): a picture in `window`, or labels over the image `under` in its own window."""
    picture = what.pictures(plane)[at][box]
    if isinstance(what, LabelMap):
        return fill(_window(under).apply(under.pictures(plane)[at][box]), picture)
    return plain(window.apply(picture))


def _filled(picture: NDArray[Any]) -> _Box:
    """The rows and columns round what is not background."""
    bright = Window.fit(picture).apply(picture) > 0.1
    box = ndimage.find_objects(ndimage.binary_opening(bright).astype(np.int8))
    if not box:
        return slice(None), slice(None)
    rows, cols = (slice(max(0, edge.start - _MARGIN), edge.stop + _MARGIN) for edge in box[0])
    return rows, cols
