"""How much is painted of labels that are not there."""

import numpy as np

from mvg.benchmark.judged import Judged, Measured, Metric
from mvg.benchmark.metrics._overlap import overlaps


def measure(judged: Judged) -> list[Measured]:
    """The volume (ml) of all labels that the answer holds and the truth does not, and of each of them."""
    voxel = abs(float(np.linalg.det(judged.truth.affine[:3, :3]))) / 1000
    parts = {
        judged.names.get(value, f"label {value}"): overlap.said * voxel
        for value, overlap in overlaps(judged.answer.voxels, judged.truth.voxels).items()
        if not overlap.right
    }
    return [Measured("whole", float(sum(parts.values())), parts)]


METRIC = Metric(
    name="false-positive volume",
    unit="ml",
    range=(0.0, float("inf")),
    better="lower",
    answers="labels",
    library="mvg, voxel counts",
    aggregation="per case, sum over the labels that the answer holds and the whole truth does not (0 where none)",
    measure=measure,
)
