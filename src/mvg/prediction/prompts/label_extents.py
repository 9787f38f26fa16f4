"""Where labels lie in their slices, and what the model's square keeps of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame, Spacing, extent_of
from mvg.prediction.prompts.pairs import PairReader
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.selection.retrieval import evenly_spaced

_SAMPLED_SLICES = 8  # labeled slices per prompt that are measured
_SPAN_SLICES = 48  # labeled slices in which each label's span is measured
_STRAY = 0.005  # share of pixels ignored at each end, so that single stray pixels do not widen the extent

Spans = dict[int, tuple[int, int, int, int]]
"""First and last row and column (exclusive) of labels, by class number."""


@dataclass(frozen=True)
class Extent:
    """Where labels lie in their slices: center (row, column) in pixels, and size as a share of the slices' size."""

    center: tuple[float, float]
    size: float


def label_extent(labels: NDArray[Any], spacing: Spacing) -> Extent | None:
    """The extent of everything that is not 0 in slices (n, rows, cols); None where nothing is."""
    span = _span(labels)
    return None if span is None else _extent(span, (labels.shape[1], labels.shape[2]), spacing)


def _span(labels: NDArray[Any]) -> tuple[int, int, int, int] | None:
    """First and last row and column (exclusive) of everything that is not 0, few stray pixels left out."""
    shape = labels.shape[1:]
    counts = np.zeros(shape[0], np.int64), np.zeros(shape[1], np.int64)  # of labeled pixels per row, per column
    for picture in labels:
        present = picture != 0
        for axis, count in enumerate(counts):
            count += present.sum(axis=1 - axis)
    if not counts[0].any():
        return None
    (top, bottom), (left, right) = (_ends(count) for count in counts)
    return top, bottom, left, right


def label_spans(labels: NDArray[Any], values: Sequence[int]) -> Spans:
    """The span of each label value by its class number, in slices (n, rows, cols): in some slices of long volumes."""
    _, rows, cols = labels.shape
    labeled = np.flatnonzero([picture.any() for picture in labels])
    down, across = np.zeros((len(values), rows), np.int64), np.zeros((len(values), cols), np.int64)
    order = np.argsort(values)
    known = np.array(values)[order]
    for number in evenly_spaced(labeled, _SPAN_SLICES).tolist():
        row, col = np.nonzero(labels[number])
        value = labels[number][row, col]
        at = np.minimum(np.searchsorted(known, value), len(known) - 1)
        is_known = known[at] == value
        at, row, col = order[at][is_known], row[is_known], col[is_known]
        down += np.bincount(at * rows + row, minlength=down.size).reshape(down.shape)
        across += np.bincount(at * cols + col, minlength=across.size).reshape(across.shape)
    visible = np.flatnonzero(down.any(axis=1)).tolist()
    return {number + 1: (*_ends(down[number]), *_ends(across[number])) for number in visible}


def _ends(counts: NDArray[np.int64]) -> tuple[int, int]:
    """The first and the last (exclusive) of what is counted (n,), few stray pixels left out."""
    mass = counts.cumsum()
    first = int(np.searchsorted(mass, _STRAY * mass[-1], side="right"))
    return first, int(np.searchsorted(mass, (1 - _STRAY) * mass[-1])) + 1


def _extent(span: tuple[int, int, int, int], shape: tuple[int, int], spacing: Spacing) -> Extent:
    top, bottom, left, right = span
    size = max(
        (last - first) * step for (first, last), step in zip(((top, bottom), (left, right)), spacing, strict=True)
    )
    return Extent(((top + bottom) / 2, (left + right) / 2), float(size / max(extent_of(shape, spacing))))


def joint_extent(spans: Spans, classes: Sequence[int], shape: tuple[int, int], spacing: Spacing) -> Extent | None:
    """The extent of the labels of some classes together, in slices of `shape`; None where there are none."""
    present = np.array([spans[number] for number in classes if number in spans])
    if not len(present):
        return None
    top, left = present[:, [0, 2]].min(axis=0).tolist()
    bottom, right = present[:, [1, 3]].max(axis=0).tolist()
    return _extent((top, bottom, left, right), shape, spacing)


@dataclass(frozen=True, eq=False)
class MeasuredPair:
    """Where the labels of a pair lie, by class number, and what the model's square keeps of them.

    spans: first and last row and column (exclusive) of each label, few stray pixels left out. resolution: pixels along
    the longer side of a slice for each pixel of the square; kept: the IoU of a label with what the square keeps of it,
    for some slices.
    """

    shape: tuple[int, int]
    spacing: Spacing
    spans: Spans
    whole: Extent | None
    resolution: float
    kept: dict[int, list[float]]

    def extent(self, classes: Sequence[int]) -> Extent | None:
        """Of the labels of some classes; of all for none."""
        return joint_extent(self.spans, classes, self.shape, self.spacing) if classes else self.whole


def measured_pair(reader: PairReader, number: int, prompts: PromptSet) -> MeasuredPair:
    """Measure the pair `number` of a reader, whose labels `prompts` numbers."""
    pair, size = reader[number], prompts.images.shape[-1]
    plane = pair.image.cut_along(prompts.plane)
    labels = np.asarray(pair.target.pictures(plane))
    spacing = pair.image.pixel_spacing(plane)
    shape = (labels.shape[1], labels.shape[2])
    frame = Frame.letterbox(shape, spacing, size)
    resolution = max(extent_of(shape, spacing)) / min(spacing) / size
    kept = dict[int, list[float]]()
    for value, overlap in _kept_detail(labels, frame):
        if value in prompts.values:
            kept.setdefault(prompts.values.index(value) + 1, []).append(overlap)
    spans = label_spans(labels, prompts.values)
    return MeasuredPair(shape, spacing, spans, label_extent(labels, spacing), resolution, kept)


def _kept_detail(labels: NDArray[Any], frame: Frame) -> Iterator[tuple[int, float]]:
    """Values with the IoU of a label with what the model's square keeps of it, from some labeled slices."""
    labeled = [picture for picture in labels if picture.any()]
    for picture in labeled[:: max(1, len(labeled) // _SAMPLED_SLICES)]:
        restored = frame.restore_labels(frame.apply_labels(picture))
        for value in np.unique(picture[picture != 0]):
            before, after = picture == value, restored == value
            yield int(value), float((before & after).sum() / (before | after).sum())
