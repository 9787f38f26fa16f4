"""How much is painted of labels that are not there."""

import numpy as np

from mvg.benchmark.protocol.metric import Measurements, Metric, Score


def measure(judged: Score) -> list[Measurements]:
    """The volume (ml) of all labels that the answer holds where the truth does not, and of each of them: in the whole
    volume, and in single slices, which may lack what others show.
    """
    voxel = abs(float(np.linalg.det(judged.truth.affine[:3, :3]))) / 1000
    said, right = (np.asarray(volume.pictures(judged.plane)) for volume in (judged.answer, judged.truth))
    whole, slices = {}, {}
    for value in np.unique(said[said != 0]):
        name, painted = judged.names.get(int(value), f"label {value}"), (said == value).sum(axis=(1, 2))
        there = (right == value).any(axis=(1, 2))
        if not there.any():
            whole[name] = float(painted.sum() * voxel)
        if painted[~there].any():
            slices[name] = float(painted[~there].sum() * voxel)
    return [
        Measurements(region, float(sum(parts.values())), parts)
        for region, parts in (("whole", whole), ("slices", slices))
    ]


METRIC = Metric(
    name="false-positive volume",
    unit="ml",
    range=(0.0, float("inf")),
    better="lower",
    answers="labels",
    library="mvg, voxel counts",
    aggregation="per case, sum over the labels that the answer holds where the truth does not: not at all (whole), or "
    "not in that slice (slices); 0 where none",
    measure=measure,
)
