"""The part of a volume's slices that its predictions look at: whole slices, or a square around annotated labels."""

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame, Spacing, extent_of
from mvg.prediction.prompts.label_extents import Extent, label_extent

_MARGIN = 1.5  # size of the magnified square, in sizes of the annotated labels
_KEPT_MARGIN = 1.2  # the square stays as it is while the labels lie within, with this margin
_MIN_MAGNIFICATION, _MAX_MAGNIFICATION = 1.2, 4.0
_MIN_SLICES = 3  # labeled slices, before which labels may lie anywhere in the other slices


def annotated_frame(labels: NDArray[np.uint8], spacing: Spacing, size: int, previous: Frame | None = None) -> Frame:
    """The frame for slices whose annotated labels are (n, rows, cols); `size`: side of the model's square.

    Whole slices at first; later a square around the labels, which stays `previous` while that holds the labels.
    """
    rows, cols = labels.shape[1:]
    whole = Frame.letterbox((rows, cols), spacing, size)
    extent = label_extent(labels, spacing)
    if extent is None or labels.any(axis=(1, 2)).sum() < _MIN_SLICES:
        return whole
    if previous is not None and previous != whole and holds(previous, extent, spacing):
        return previous
    magnification = min(_MAX_MAGNIFICATION, 1 / (_MARGIN * extent.size))
    if magnification < _MIN_MAGNIFICATION:
        return whole
    return Frame.zoomed((rows, cols), spacing, size, extent.center, magnification)


def holds(frame: Frame, extent: Extent, spacing: Spacing) -> bool:
    """Whether labels of this extent lie in the frame's part of a slice, with a margin."""
    reach = _KEPT_MARGIN * extent.size * max(extent_of(frame.shape, spacing)) / 2
    box = frame.source
    spans = ((box.top, box.rows), (box.left, box.cols))
    return all(
        first <= max(0.0, middle - reach / step) and min(length, middle + reach / step) <= first + count
        for (first, count), middle, step, length in zip(spans, extent.center, spacing, frame.shape, strict=True)
    )
