"""Dice coefficient of whole label maps."""

from mvg.benchmark.metrics._overlap import case_overlaps, mean_over_labels
from mvg.benchmark.protocol.metric import Metric, MetricInput, Score


def measure(inputs: MetricInput) -> list[Score]:
    """The mean Dice over the labels of truth or prediction; a label that only one of them has counts with 0."""
    by_label = case_overlaps(inputs)
    return mean_over_labels({label: overlap.dice for label, overlap in by_label.items()}, inputs, if_empty=1.0)


METRIC = Metric(
    name="Dice",
    unit="",
    range=(0.0, 1.0),
    better="higher",
    target_type="labels",
    definition="mvg, voxel counts",
    aggregation="per case over all voxels, mean over the labels in truth or prediction (1 where neither has any)",
    measure=measure,
)
