"""A close look: what was found in whole slices is answered again at a finer scale.

Labels that are small against their slices are looked at where they lie: prompts are cropped about their own labels, the
query about what the first answer found, all of them about equally close. Labels that are large, but lose much of their
detail in the model's square, are looked at in overlapping pieces, each prompted by the same pieces of the prompts'
slices. Others need no close look.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame, Spacing, extent_of
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.prediction.asked import Volumes
from mvg.prediction.prompts.prompt_set import PromptSet, prepare
from mvg.tasks import TaskSpec

_MARGIN = 1.4  # size of a close look, in sizes of the largest prompt's labels
_ROOM = 1.1  # and at least in sizes of what was found in the query
_ALIKE = 0.7  # a query is seen at least so much as closely as the prompts, or it is not looked at again
_WORTHWHILE, _CLOSEST = 1.25, 4.0
_THIN, _FINE = 0.8, 0.92  # mean IoU of labels with what the model's square keeps of them, below which they are so
_FOR_FINE = 1.75  # how close pieces are for fine labels; for thin ones as close as the slices are sharp
_OVERLAP = 0.25  # of neighbouring pieces
_SOME = 8  # slices per prompt that tell
_STRAY = 0.005  # share of what was found that may lie beyond either side: single pixels far away do not count


@dataclass(frozen=True)
class Extent:
    """Where in its slices something lies: its middle (row, column) in pixels; its size as a share of the slices'."""

    middle: tuple[float, float]
    size: float


@dataclass(frozen=True, eq=False)
class ZoomRegion:
    """The prompts' slices closely, about their labels (`at` None), or at a place of all slices: (row, column) from -1,
    the first edge, to 1.
    """

    at: tuple[float, float] | None
    examples: PromptSet


@dataclass(frozen=True, eq=False)
class ZoomPlan:
    """The prompts of a request, `closer` times as near as whole slices are seen, in one or several pieces."""

    closer: float
    pieces: tuple[ZoomRegion, ...]

    def frames(self, found: Extent | None, shape: tuple[int, int], spacing: Spacing) -> tuple[Frame, ...]:
        """How a query's slices are seen, piece by piece, given where something was `found`; none where it won't fit."""
        size = self.pieces[0].examples.images.shape[-1]
        if self.pieces[0].at is not None:
            return tuple(_frame_at(piece.at or (0.0, 0.0), shape, spacing, size, self.closer) for piece in self.pieces)
        closer = 1.0 if found is None else min(self.closer, 1 / (_ROOM * found.size))
        if found is None or closer < max(_WORTHWHILE, _ALIKE * self.closer):
            return ()
        return (Frame.near(shape, spacing, size, found.middle, closer),)


def plan_zoom(
    images: Volumes[Volume],
    targets: Volumes[Volume | LabelMap],
    asked: TaskSpec,
    size: int,
    modality: str | None,
    examples: PromptSet,
) -> ZoomPlan | None:
    """The prompts of `examples` again, closely; None where that is not worthwhile.

    Reads the pairs twice, one after the other.
    """
    if asked.target_type != "labels" or asked.sampling != "whole":
        return None
    places, sharpness = _measured(images, targets, size, examples.plane)
    sizes = [place.size for place in places if place is not None]
    about_labels = min(_CLOSEST, 1 / (_MARGIN * max(sizes))) if sizes else 1.0
    at: list[tuple[float, float] | None] = [None]
    closer = about_labels
    if about_labels < _WORTHWHILE:
        closer = sharpness
        ticks = np.linspace(-1, 1, math.ceil((closer - _OVERLAP) / (1 - _OVERLAP)))
        at = [(float(down), float(across)) for down in ticks for across in ticks]
    if closer < _WORTHWHILE:
        return None

    def frames(number: int, shape: tuple[int, int], spacing: Spacing) -> tuple[Frame, ...]:
        place = places[number] or Extent((shape[0] / 2, shape[1] / 2), 1.0)
        return tuple(
            Frame.near(shape, spacing, size, place.middle, closer)
            if one is None
            else _frame_at(one, shape, spacing, size, closer)
            for one in at
        )

    every = prepare(images, targets, asked, size, modality, (), frames, examples.values, examples.plane)
    return ZoomPlan(
        closer, tuple(ZoomRegion(one, every.some(slice(first, None, len(at)))) for first, one in enumerate(at))
    )


def joined(frames: Sequence[Frame], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Which frame answers each pixel (rows, cols): of those that see it the one whose middle is nearest; -1: none."""
    best, chosen = np.full(shape, np.inf), np.full(shape, -1)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    for number, frame in enumerate(frames):
        box = frame.source
        down = np.abs(rows + 0.5 - box.top - box.rows / 2) / box.rows
        across = np.abs(cols + 0.5 - box.left - box.cols / 2) / box.cols
        away = np.maximum(down, across)
        wins = (away <= 0.5) & (away < best)
        best[wins], chosen[wins] = np.broadcast_to(away, shape)[wins], number
    return chosen


def label_extent(numbers: NDArray[Any], spacing: Spacing) -> Extent | None:
    """Where something (not 0) was found in slices (n, rows, cols); None where nothing was."""
    shape = numbers.shape[1:]
    shown = numbers != 0
    if not shown.any():
        return None
    spans = []
    for axis in (1, 2):
        mass = shown.sum(axis=tuple({0, 1, 2} - {axis})).cumsum()
        first = int(np.searchsorted(mass, _STRAY * mass[-1], side="right"))
        last = int(np.searchsorted(mass, (1 - _STRAY) * mass[-1])) + 1
        spans.append((first, last))
    size = max((last - first) * step for (first, last), step in zip(spans, spacing, strict=True))
    (top, bottom), (left, right) = spans
    return Extent(((top + bottom) / 2, (left + right) / 2), float(size / max(extent_of((shape[0], shape[1]), spacing))))


def _frame_at(at: tuple[float, float], shape: tuple[int, int], spacing: Spacing, size: int, closer: float) -> Frame:
    extent = extent_of(shape, spacing)
    seen = max(extent) / closer
    # The middle of a piece may be so far away from that of the slices: not at all where it sees all of them.
    free = [max(0.0, length - seen) / 2 / step for length, step in zip(extent, spacing, strict=True)]
    middle = [length / 2 + place * away for place, length, away in zip(at, shape, free, strict=True)]
    return Frame.near(shape, spacing, size, (middle[0], middle[1]), closer)


def _measured(
    images: Volumes[Volume], targets: Volumes[Volume | LabelMap], size: int, most: Plane
) -> tuple[list[Extent | None], float]:
    """Where each prompt's labels lie; and how close pieces should be, 1 (not at all) where whole slices in the model's
    square keep the labels' detail.
    """
    places, kept, finest = [], [], 1.0
    for at in range(len(images)):
        image = images[at]
        plane = image.cut_along(most)
        labels, spacing = np.asarray(targets[at].pictures(plane)), image.pixel_spacing(plane)
        places.append(label_extent(labels, spacing))
        frame = Frame.letterbox(labels.shape[1:], spacing, size)
        finest = max(finest, max(extent_of(frame.shape, spacing)) / min(spacing) / size)
        telling = [one for one in labels if one.any()]
        for one in telling[:: max(1, len(telling) // _SOME)]:
            again = frame.restore_labels(frame.apply_labels(one))
            for value in np.unique(one[one != 0]):
                kept.append(((one == value) & (again == value)).sum() / ((one == value) | (again == value)).sum())
    share = float(np.mean(kept)) if kept else 1.0
    return places, 1.0 if share >= _FINE else min(finest, _CLOSEST if share < _THIN else _FOR_FINE)
