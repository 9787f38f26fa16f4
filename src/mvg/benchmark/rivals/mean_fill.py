"""Mean fill: voids get the mean intensity of the body in their slice."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.benchmark.protocol.method import Method, Request, Scope, TrainingData
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window
from mvg.tasks import Task

SCOPE: Scope = "untrained"
USES_PROMPTS = False
_BODY = 1 / 16  # of the window: brighter is body
_NOTCH = 0.2  # of the body's size: voids that open to the outside are filled up to twice this width


@dataclass(frozen=True)
class Options:
    """There is nothing to choose."""


def serves(task: Task) -> bool:
    """Tasks whose predictions are refined by inpainting: their queries have voids."""
    return "inpainting" in task.spec.postprocess


def fit(options: Options, data: TrainingData) -> Method:
    """There is nothing to learn."""
    return fill


def fill(request: Request) -> Volume | LabelMap:
    """The query with its voids filled.

    A void is where the query has its smallest value, see `Request`. The background often has that value too, so only
    pixels within the body count: the bright part of the slice, with its holes and notches closed.
    """
    query, plane = request.query, request.query.plane
    window = Window.fit(query.voxels, request.modality)
    pictures = np.array(query.pictures(plane))
    smallest = query.voxels.min()
    for picture in pictures:
        body = (window.apply(picture) > _BODY) & (picture > smallest)
        if body.any():
            picture[(picture == smallest) & _closed(body)] = picture[body].mean()
    return query.from_pictures(pictures, plane)


def _closed(body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The body (rows, cols) with its holes filled and its notches closed: dilated by a disk, then eroded by it."""
    radius = _NOTCH * float(np.sqrt(body.sum()))
    margin = int(np.ceil(radius)) + 1
    padded = np.pad(body, margin)
    dilated = ndimage.distance_transform_edt(~padded) <= radius
    closed = ndimage.distance_transform_edt(dilated) > radius
    whole = ndimage.binary_fill_holes(closed | padded)
    return np.asarray(whole[margin:-margin, margin:-margin], np.bool_)
