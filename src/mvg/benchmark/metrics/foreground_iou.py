"""Intersection over union in the slices that show the class: probably the paper's mode, beside the stricter `iou`.

The paper does not state its aggregation. Slices without a class are left out here, so false positives in them cost
nothing: figures are higher than those of `iou` and must never be mixed with them.
"""

import numpy as np

from mvg.benchmark.metrics._overlap import mean_over_labels
from mvg.benchmark.protocol.metric import Metric, MetricInput, Score


def measure(inputs: MetricInput) -> list[Score]:
    """For every label of the truth the mean IoU over the slices that show it; then the mean over labels."""
    prediction, truth = inputs.prediction.pictures(inputs.plane), inputs.truth.pictures(inputs.plane)
    by_label: dict[int, float] = {}
    for label in np.unique(truth[truth != 0]).tolist():
        slices = (truth == label).any(axis=(1, 2))
        predicted, true = prediction[slices] == label, truth[slices] == label
        intersection, union = (predicted & true).sum(axis=(1, 2)), (predicted | true).sum(axis=(1, 2))
        by_label[int(label)] = float((intersection / union).mean())
    return mean_over_labels(by_label, inputs, if_empty=0.0) if by_label else []


METRIC = Metric(
    name="foreground IoU",
    unit="",
    range=(0.0, 1.0),
    better="higher",
    target_type="labels",
    definition="mvg, voxel counts",
    aggregation=(
        "per slice, of each class only the slices where the truth has it, mean over slices, then over classes; cases "
        "without a label are left out (probably the paper's mode: false positives elsewhere cost nothing)"
    ),
    measure=measure,
)
