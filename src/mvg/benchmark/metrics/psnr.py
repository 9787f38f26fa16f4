"""Peak signal-to-noise ratio of pictures."""

import numpy as np

from mvg.benchmark.metrics._likeness import difference, inside
from mvg.benchmark.protocol.metric import Measurements, Metric, Score

_LEAST_ERROR = 1e-10  # mean squared error that counts as none


def measure(judged: Score) -> list[Measurements]:
    """PSNR (dB) in every region; the peak is the window's width; ends at 100 dB."""
    squared = difference(judged) ** 2
    return [
        Measurements(region, float(-10 * np.log10(max(float(values.mean()), _LEAST_ERROR))), {})
        for region, values in inside(squared, judged)
    ]


METRIC = Metric(
    name="PSNR",
    unit="dB",
    range=(0.0, 100.0),
    better="higher",
    answers="image",
    library="mvg (as scikit-image's peak_signal_noise_ratio, data range 1), at most 100 dB",
    aggregation="per case, from the mean squared error over the region's voxels; the peak is the intensity range",
    measure=measure,
)
