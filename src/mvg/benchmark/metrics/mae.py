"""Mean absolute error of pictures."""

import numpy as np

from mvg.benchmark.metrics._likeness import difference, inside
from mvg.benchmark.protocol.metric import Measurements, Metric, Score


def measure(judged: Score) -> list[Measurements]:
    """The mean absolute error in every region, as a share of the window's width."""
    error = np.abs(difference(judged))
    return [Measurements(region, float(values.mean()), {}) for region, values in inside(error, judged)]


METRIC = Metric(
    name="MAE",
    unit="",
    range=(0.0, 1.0),
    better="lower",
    answers="image",
    library="mvg",
    aggregation="per case, mean over the region's voxels, as a share of the intensity range that both are clipped to",
    measure=measure,
)
