"""Which parts of a label map were annotated: prompts must not teach as background what nobody looked at."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.orientation import CUT_AXIS
from mvg.imaging.volume import IGNORED, LabelMap, Plane
from mvg.prediction.inference.strokes import spread_strokes

_THIN = 0.35  # a run of labelled slices that is this much thinner than its labels are wide is no whole structure
_MARK = 255  # the value that corrections have for open voxels, and many data sets for unknown ones
_NO_LABELS = (-1, -100)  # what programs that train write for unknown voxels, wherever they lie
_SAME_STRUCTURE = 0.3  # Dice of two slices on both sides of a gap that show the same structure


@dataclass(frozen=True, eq=False)
class AnnotatedLabels:
    """Labels, and where they are known.

    labels: 0 where nothing is known; known: 1 where voxels were annotated, None where all were.
    """

    labels: LabelMap
    known: LabelMap | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of voxels."""
        return int(self.labels.voxels.nbytes + (0 if self.known is None else self.known.voxels.nbytes))

    @classmethod
    def of(cls, labels: LabelMap) -> "AnnotatedLabels":
        """What a label map says: `IGNORED` voxels are unknown."""
        if IGNORED not in labels.counts:
            return cls(labels)
        known = labels.voxels != IGNORED
        return cls(replace(labels, voxels=np.where(known, labels.voxels, 0)), replace(labels, voxels=known))

    def slices(self, plane: Plane) -> NDArray[np.int64]:
        """The numbers of the slices along a plane that were annotated as a whole."""
        if self.known is None:
            return np.arange(len(self.labels.pictures(plane)))
        return np.flatnonzero(self.known.pictures(plane).all(axis=(1, 2)))

    def drawn_slices(self, plane: Plane) -> NDArray[np.int64]:
        """The numbers of the slices along a plane that show a label, although they were annotated in part only."""
        return np.flatnonzero((self.labels.pictures(plane) != 0).any(axis=(1, 2)))

    def completed(self, plane: Plane, number: int, picture: NDArray[np.float32]) -> NDArray[np.integer]:
        """The labels of a slice (rows, cols); unknown ones follow those beside them that look alike in the picture."""
        labels = self.labels.pictures(plane)[number]
        known = None if self.known is None else self.known.pictures(plane)[number] != 0
        if known is None or known.all():
            return np.asarray(labels)
        values = np.unique(labels)
        values = np.concatenate([[0], values[values != 0]])
        table = np.argsort(values)
        numbers = table[np.searchsorted(values, labels, sorter=table)].astype(np.uint8)
        return np.asarray(values[spread_strokes(picture, numbers, known, None)], labels.dtype)

    def best_plane(self, plane: Plane) -> Plane:
        """The plane, or another one if only that has slices which were annotated as a whole."""
        counts = {} if self.known is None else {other: len(self.slices(other)) for other in (plane, *CUT_AXIS)}
        return plane if not counts or counts[plane] else max(counts, key=lambda other: counts[other])


def unknown_values(labels: LabelMap) -> tuple[int, ...]:
    """The values of a label map that stand for nothing annotated: -1 and -100, and other negative values and 255 where
    they fill whole slices.

    No structure fills a slice to its corners while others lie in other slices.
    """
    present = [value for value in labels.values if value != IGNORED]
    marks = [value for value in present if value < 0 or (value == _MARK and len(present) > 1)]
    return tuple(value for value in marks if value in _NO_LABELS or _fills_slices(labels, value))


def negative_labels(labels: LabelMap) -> tuple[int, ...]:
    """The negative values that are labels, because nothing shows that they mark what nobody annotated."""
    unknown = (*unknown_values(labels), IGNORED)
    return tuple(value for value in labels.values if value < 0 and value not in unknown)


def filling_values(labels: LabelMap) -> tuple[int, ...]:
    """The other values that fill whole slices to their corners, while there is background elsewhere."""
    unknown = unknown_values(labels)
    if 0 not in labels.counts:
        return ()
    return tuple(value for value in labels.values if value not in (*unknown, IGNORED) and _fills_slices(labels, value))


def _fills_slices(labels: LabelMap, value: int) -> bool:
    pictures = labels.pictures(labels.plane)
    corners = (pictures[:, :: max(1, pictures.shape[1] - 1), :: max(1, pictures.shape[2] - 1)] == value).all(
        axis=(1, 2)
    )
    filled = sum(bool((pictures[number] == value).all()) for number in np.flatnonzero(corners))
    return 0 < filled < len(pictures)


def without_unlabeled_slices(labels: LabelMap) -> LabelMap:
    """The labels with `IGNORED` in all slices without any label, if slices were annotated here and there only."""
    if IGNORED in labels.counts or not is_sparse(labels):
        return labels
    empty = ~labels.pictures(labels.plane).any(axis=(1, 2))
    pictures = np.array(labels.pictures(labels.plane), np.int64)
    pictures[empty] = IGNORED
    result = labels.from_pictures(pictures, labels.plane)
    assert isinstance(result, LabelMap)
    return result


def is_sparse(labels: LabelMap) -> bool:
    """Whether slices were annotated here and there only: the labels of most runs of slices end abruptly.

    A run ends abruptly if it is much thinner than its labels are wide, with empty slices on both sides, or if the same
    structure goes on behind a gap.
    """
    pictures = labels.pictures(labels.plane) != 0
    areas = pictures.sum(axis=(1, 2))
    present = areas > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]]).astype(int)))
    runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    if not runs or present.all():
        return False
    thickness, pixel = _thickness(labels), float(np.prod(labels.pixel_spacing(labels.plane)))
    abrupt = set[int]()
    for number, (first, end) in enumerate(runs):
        width = 2 * np.sqrt(areas[first:end].max() * pixel / np.pi)
        is_thin = (end - first) * thickness < _THIN * width
        between = first > 0 and end < len(areas)
        if is_thin and between:
            abrupt.add(number)
        following = runs[number + 1][0] if number + 1 < len(runs) else None
        is_gap = following is not None and (following - end) * thickness < _THIN * width
        if is_gap and _dice(pictures[end - 1], pictures[following]) > _SAME_STRUCTURE:
            abrupt |= {number, number + 1}
    return len(abrupt) > len(runs) / 2


def _thickness(labels: LabelMap) -> float:
    axes = labels.axes[:, 0].astype(int).tolist()
    return labels.spacing[axes.index(CUT_AXIS[labels.plane])]


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))
