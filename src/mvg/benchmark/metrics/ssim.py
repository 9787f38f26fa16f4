"""Structural similarity of pictures."""

import numpy as np
from skimage.metrics import structural_similarity

from mvg.benchmark.metrics._pictures import by_region
from mvg.benchmark.protocol.metric import Metric, MetricInput, Score

_SIDE = 7  # pixels of scikit-image's sliding window


def measure(inputs: MetricInput) -> list[Score]:
    """The mean of the similarity map over every region; empty where slices are smaller than the sliding window."""
    assert inputs.window is not None, "pictures are measured in a window"
    predicted = inputs.window.apply(inputs.prediction.pictures(inputs.plane))
    true = inputs.window.apply(inputs.truth.pictures(inputs.plane))
    if min(predicted.shape[1:]) < _SIDE:
        return []
    similarity = np.empty(predicted.shape, np.float32)
    for at in range(len(predicted)):
        similarity[at] = structural_similarity(predicted[at], true[at], win_size=_SIDE, data_range=1.0, full=True)[1]
    voxels = inputs.truth.from_pictures(similarity, inputs.plane).voxels
    return [Score(region, float(values.mean(dtype=np.float64)), {}) for region, values in by_region(voxels, inputs)]


METRIC = Metric(
    name="SSIM",
    unit="",
    range=(-1.0, 1.0),
    better="higher",
    target_type="image",
    definition=f"scikit-image structural_similarity, uniform window of {_SIDE} x {_SIDE} pixels, data range 1",
    aggregation="per case, map of each slice, mean over the region's voxels, the slice's margin included",
    measure=measure,
)
