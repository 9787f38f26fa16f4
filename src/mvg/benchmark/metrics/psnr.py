"""Peak signal-to-noise ratio of pictures."""

import numpy as np

from mvg.benchmark.metrics._pictures import by_region, difference
from mvg.benchmark.protocol.metric import Metric, MetricInput, Score

_MIN_ERROR = 1e-10  # mean squared error, smaller ones count as this


def measure(inputs: MetricInput) -> list[Score]:
    """PSNR (dB) in every region, at most 100 dB; the peak is the window's width."""
    squared = difference(inputs) ** 2
    return [
        Score(region, float(-10 * np.log10(max(float(values.mean()), _MIN_ERROR))), {})
        for region, values in by_region(squared, inputs)
    ]


METRIC = Metric(
    name="PSNR",
    unit="dB",
    range=(0.0, 100.0),
    better="higher",
    target_type="image",
    definition="mvg (as scikit-image's peak_signal_noise_ratio, data range 1), at most 100 dB",
    aggregation="per case, from the mean squared error over the region's voxels; the peak is the intensity range",
    measure=measure,
)
