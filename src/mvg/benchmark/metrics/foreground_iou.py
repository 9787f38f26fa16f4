"""Intersection over union in slices that hold the class: the paper's probable mode, beside the honest one.

The paper does not state its aggregation. Slices without a class are passed over here, so that what is painted into
them costs nothing: figures are higher than `iou`, and never to be mixed with them.
"""

import numpy as np

from mvg.benchmark.metrics._overlap import mean_of
from mvg.benchmark.protocol.metric import Measurements, Metric, Score


def measure(judged: Score) -> list[Measurements]:
    """Of every class of the truth the mean IoU over the slices that hold it; then the mean over classes."""
    answer, truth = judged.answer.pictures(judged.plane), judged.truth.pictures(judged.plane)
    parts: dict[int, float] = {}
    for value in (int(found) for found in np.unique(truth) if found != 0):
        held = (truth == value).any(axis=(1, 2))
        said, right = answer[held] == value, truth[held] == value
        both, either = (said & right).sum(axis=(1, 2)), (said | right).sum(axis=(1, 2))
        parts[value] = float((both / either).mean())
    return mean_of(parts, judged.names, 0.0) if parts else []


METRIC = Metric(
    name="foreground IoU",
    unit="",
    range=(0.0, 1.0),
    better="higher",
    answers="labels",
    library="mvg, voxel counts",
    aggregation=(
        "per slice, of each class only the slices where the truth holds it, mean over slices, then over classes; cases "
        "without a label are left out (the paper's probable mode: false positives elsewhere cost nothing)"
    ),
    measure=measure,
)
