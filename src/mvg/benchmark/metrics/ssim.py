"""Structural similarity of pictures."""

import numpy as np
from skimage.metrics import structural_similarity

from mvg.benchmark.metrics._likeness import inside
from mvg.benchmark.protocol.metric import Measurements, Metric, Score

_SIDE = 7  # pixels of scikit-image's sliding window


def measure(judged: Score) -> list[Measurements]:
    """The mean of the similarity map over every region; nothing where slices are smaller than the sliding window."""
    assert judged.window is not None, "pictures are judged in a window"
    said = judged.window.apply(judged.answer.pictures(judged.plane))
    right = judged.window.apply(judged.truth.pictures(judged.plane))
    if min(said.shape[1:]) < _SIDE:
        return []
    similar = np.empty(said.shape, np.float32)
    for at in range(len(said)):
        similar[at] = structural_similarity(said[at], right[at], win_size=_SIDE, data_range=1.0, full=True)[1]
    voxels = judged.truth.from_pictures(similar, judged.plane).voxels
    return [Measurements(region, float(values.mean(dtype=np.float64)), {}) for region, values in inside(voxels, judged)]


METRIC = Metric(
    name="SSIM",
    unit="",
    range=(-1.0, 1.0),
    better="higher",
    answers="image",
    library=f"scikit-image structural_similarity, uniform window of {_SIDE} x {_SIDE} pixels, data range 1",
    aggregation="per case, map of each slice, mean over the region's voxels, the slice's margin included",
    measure=measure,
)
