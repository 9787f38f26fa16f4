"""What a synthetic picture is good for: how well a segmentation of real pictures does on it."""

from mvg.benchmark.metrics._overlap import mean_over_labels, overlaps
from mvg.benchmark.protocol.metric import Metric, MetricInput, Score
from mvg.imaging.volume import Volume


def measure(inputs: MetricInput) -> list[Score]:
    """The mean Dice of the prediction's segmentation against the labels of the case; empty without either of them."""
    if inputs.segment is None or inputs.labels is None:
        return []
    assert isinstance(inputs.prediction, Volume)
    by_label = overlaps(inputs.segment(inputs.prediction).voxels, inputs.labels.voxels)
    return mean_over_labels({label: overlap.dice for label, overlap in by_label.items()}, inputs, if_empty=1.0)


METRIC = Metric(
    name="downstream Dice",
    unit="",
    range=(0.0, 1.0),
    better="higher",
    target_type="image",
    definition="mvg, voxel counts, by a segmentation that learned from real images",
    aggregation="per case, the whole prediction is segmented; mean over the labels in the truth or the segmentation",
    measure=measure,
)
