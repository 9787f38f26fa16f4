"""Which small labels of a session are magnified: groups that are much smaller than what its predictions look at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame, Spacing, extent_of
from mvg.prediction.annotated_frame import holds
from mvg.prediction.prompts.label_extents import Spans, joint_extent, label_spans
from mvg.prediction.prompts.label_groups import grouped

# Chosen on training patients of six sets, see docs/log.md.
_MARGIN = 1.5  # size of a square, in sizes of the annotated labels
_LEAST_GAIN = 1.7  # magnification in units of the main frame's, at least
_TOGETHER = 0.65  # labels share a square that magnifies the less magnified of them at least this much as much
_MAX_MAGNIFICATION = 6.0


@dataclass(frozen=True)
class SmallLabels:
    """Classes, from 1 on, and the frame that magnifies them."""

    classes: tuple[int, ...]
    frame: Frame


def small_labels(
    labels: NDArray[np.uint8], spacing: Spacing, main: Frame, previous: Sequence[SmallLabels] = ()
) -> tuple[SmallLabels, ...]:
    """Groups of small labels in annotated slices (n, rows, cols), and frames about them; `main`: of all predictions.

    A group keeps a frame that it had in `previous` as long as that holds its labels.
    """
    shape = (int(labels.shape[1]), int(labels.shape[2]))
    values = [value for value in np.flatnonzero(np.bincount(labels.ravel())).tolist() if value]
    spans = {values[number - 1]: span for number, span in label_spans(labels, values).items()}
    kept = {group.classes: group for group in previous}
    visible = max(extent_of((main.source.rows, main.source.cols), spacing)) / max(extent_of(shape, spacing))
    least = _LEAST_GAIN / visible

    def magnification(classes: tuple[int, ...]) -> float:
        value = _magnification(spans, classes, shape, spacing)
        return value if value >= least else 0.0

    groups = grouped([value for value in values if magnification((value,))], magnification, _TOGETHER)
    result = []
    for classes in groups:
        extent = joint_extent(spans, classes, shape, spacing)
        assert extent is not None, "only classes that are shown"
        if classes in kept and holds(kept[classes].frame, extent, spacing):
            result.append(kept[classes])
        else:
            frame = Frame.zoomed(shape, spacing, main.size, extent.center, magnification(classes))
            result.append(SmallLabels(classes, frame))
    return tuple(result)


def _magnification(spans: Spans, classes: tuple[int, ...], shape: tuple[int, int], spacing: Spacing) -> float:
    extent = joint_extent(spans, classes, shape, spacing)
    return 1.0 if extent is None else min(_MAX_MAGNIFICATION, 1 / (_MARGIN * extent.size))
