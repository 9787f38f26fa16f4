"""Mean absolute error of pictures."""

import numpy as np

from mvg.benchmark.metrics._pictures import by_region, difference
from mvg.benchmark.protocol.metric import Metric, MetricInput, Score


def measure(inputs: MetricInput) -> list[Score]:
    """The mean absolute error in every region, as a fraction of the window's width."""
    errors = np.abs(difference(inputs))
    return [Score(region, float(values.mean()), {}) for region, values in by_region(errors, inputs)]


METRIC = Metric(
    name="MAE",
    unit="",
    range=(0.0, 1.0),
    better="lower",
    target_type="image",
    definition="mvg",
    aggregation="per case, mean over the region's voxels, as a fraction of the intensity range that clips both",
    measure=measure,
)
