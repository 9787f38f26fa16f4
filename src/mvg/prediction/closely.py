"""A close look: what was found in whole slices is answered again at a finer scale.

Labels that are small against their slices are looked at where they lie: prompts are cropped about their own labels, the
query about what the first answer found, all of them equally close. Labels that are large but so thin that a whole slice
in the model's square loses them are looked at piece by piece, at the slices' own resolution. Others need no close look.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame, Spacing
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.asked import Asked, Volumes
from mvg.prediction.examples import Examples, frames_for, prepare

_MARGIN = 1.4  # size of a close look, in sizes of the largest prompt's labels
_ROOM = 1.1  # and at least in sizes of what was found in the query
_WORTHWHILE, _CLOSEST = 1.25, 4.0
_KEPT = 0.8  # mean IoU of labels with what whole slices in the model's square keep of them, below which they are thin
_SOME = 8  # slices per prompt that tell
_STRAY = 0.005  # share of what was found that may lie beyond either side: single pixels far away do not count


@dataclass(frozen=True)
class Place:
    """Where in its slices something lies: its middle (row, column) in pixels; its size as a share of the slices'."""

    middle: tuple[float, float]
    size: float


@dataclass(frozen=True, eq=False)
class Close:
    """The prompts of a request, `closer` times as near as whole slices are seen, about their labels.

    closer None: in pieces at their own resolution.
    """

    closer: float | None
    examples: Examples

    def frames(self, found: Place | None, shape: tuple[int, int], spacing: Spacing) -> tuple[Frame, ...]:
        """How a query's slices are seen closely, given where something was `found`; none where that would not fit."""
        size = self.examples.images.shape[-1]
        if self.closer is None:
            return frames_for(shape, spacing, size, "native")
        closer = 1.0 if found is None else min(self.closer, 1 / (_ROOM * found.size))
        if found is None or closer < _WORTHWHILE:
            return ()
        return (Frame.near(shape, spacing, size, found.middle, closer),)


def look_closely(
    images: Volumes[Volume],
    targets: Volumes[Volume | LabelMap],
    asked: Asked,
    size: int,
    modality: str | None,
    examples: Examples,
) -> Close | None:
    """The prompts of `examples` again, closely; None where labels are too large for that, or there are none.

    Reads the pairs a second time, one after the other.
    """
    if asked.answers != "labels" or asked.framing != "letterbox":
        return None
    places = [_place_of(targets[at], images[at]) for at in range(len(images))]
    known = [place for place in places if place is not None]
    closer = min(_CLOSEST, 1 / (_MARGIN * max(place.size for place in known))) if known else 1.0
    if closer < _WORTHWHILE:
        if _kept(images, targets, size) >= _KEPT:
            return None
        asked = replace(asked, framing="native")
        return Close(None, prepare(images, targets, asked, size, modality, (), None, examples.values))

    def frames(number: int, shape: tuple[int, int], spacing: Spacing) -> tuple[Frame, ...]:
        place = places[number]
        middle = (shape[0] / 2, shape[1] / 2) if place is None else place.middle
        return (Frame.near(shape, spacing, size, middle, closer),)

    return Close(closer, prepare(images, targets, asked, size, modality, (), frames, examples.values))


def found_place(numbers: NDArray[np.integer], spacing: Spacing) -> Place | None:
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
    extent = max(length * step for length, step in zip(shape, spacing, strict=True))
    size = max((last - first) * step for (first, last), step in zip(spans, spacing, strict=True)) / extent
    (top, bottom), (left, right) = spans
    return Place(((top + bottom) / 2, (left + right) / 2), float(size))


def _place_of(target: Volume | LabelMap, image: Volume) -> Place | None:
    plane = image.plane
    return found_place(np.asarray(target.pictures(plane)).astype(np.int64), image.pixel_spacing(plane))


def _kept(images: Volumes[Volume], targets: Volumes[Volume | LabelMap], size: int) -> float:
    """The mean IoU, over classes and slices, of labels with themselves after a way through the model's square."""
    scores = []
    for at in range(len(images)):
        image, plane = images[at], images[at].plane
        labels = np.asarray(targets[at].pictures(plane)).astype(np.int64)
        (frame,) = frames_for(labels.shape[1:], image.pixel_spacing(plane), size, "letterbox")
        telling = [one for one in labels if one.any()]
        for one in telling[:: max(1, len(telling) // _SOME)]:
            again = frame.restore_labels(frame.apply_labels(one))
            for value in np.unique(one[one != 0]):
                scores.append(((one == value) & (again == value)).sum() / ((one == value) | (again == value)).sum())
    return float(np.mean(scores)) if scores else 1.0
