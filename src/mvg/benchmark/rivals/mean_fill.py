"""Mean fill: voids take the mean of the body in their slice."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.benchmark.protocol.method import Method, Request, Scope, TrainingData
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window, guess_modality
from mvg.tasks import Task

SCOPE: Scope = "untrained"
PROMPTED = False
_SOMETHING = 1 / 16  # of the window: brighter is body
_NOTCH = 0.2  # of the body's size: voids that open to the outside are found up to twice this width


@dataclass(frozen=True)
class Settings:
    """Nothing to choose."""


def serves(task: Task) -> bool:
    """Inpainting alone."""
    return task.kind == "inpainting"


def learn(settings: Settings, lesson: TrainingData) -> Method:
    """Nothing is learnt."""
    return filled


def filled(request: Request) -> Volume | LabelMap:
    """The query with its voids filled.

    A void is where the query holds its smallest value, as `Request` promises. The background often holds that value
    too, so only what lies within the body counts: the bright part of the slice, with its holes and notches closed.
    """
    query, plane = request.query, request.query.plane
    window = Window.fit(query.voxels, request.modality or guess_modality(query.voxels))
    pictures = np.array(query.pictures(plane))
    smallest = query.voxels.min()
    for picture in pictures:
        body = (window.apply(picture) > _SOMETHING) & (picture > smallest)
        if body.any():
            picture[(picture == smallest) & _closed(body)] = picture[body].mean()
    return query.from_pictures(pictures, plane)


def _closed(body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The body (rows, cols), its holes filled, and its notches: dilated by a disk, then eroded by it."""
    reach = _NOTCH * float(np.sqrt(body.sum()))
    margin = int(np.ceil(reach)) + 1
    wide = np.pad(body, margin)
    near = ndimage.distance_transform_edt(~wide) <= reach
    closed = ndimage.distance_transform_edt(near) > reach
    whole = ndimage.binary_fill_holes(closed | wide)
    return np.asarray(whole[margin:-margin, margin:-margin], np.bool_)
