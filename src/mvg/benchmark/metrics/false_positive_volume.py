"""The volume of predicted labels that are not in the truth."""

import numpy as np

from mvg.benchmark.protocol.metric import Metric, MetricInput, Score


def measure(inputs: MetricInput) -> list[Score]:
    """The volume (ml) of all labels that the prediction has where the truth lacks them, in sum and for each label.

    Region "whole": labels that the whole truth lacks. Region "slices": labels that the truth lacks in that slice.
    """
    voxel = abs(float(np.linalg.det(inputs.truth.affine[:3, :3]))) / 1000
    predicted, true = (np.asarray(volume.pictures(inputs.plane)) for volume in (inputs.prediction, inputs.truth))
    whole, slices = {}, {}
    for label in np.unique(predicted[predicted != 0]):
        name, counts = inputs.label_names.get(int(label), f"label {label}"), (predicted == label).sum(axis=(1, 2))
        is_present = (true == label).any(axis=(1, 2))
        if not is_present.any():
            whole[name] = float(counts.sum() * voxel)
        if counts[~is_present].any():
            slices[name] = float(counts[~is_present].sum() * voxel)
    return [
        Score(region, float(sum(by_label.values())), by_label)
        for region, by_label in (("whole", whole), ("slices", slices))
    ]


METRIC = Metric(
    name="false-positive volume",
    unit="ml",
    range=(0.0, float("inf")),
    better="lower",
    target_type="labels",
    definition="mvg, voxel counts",
    aggregation="per case, sum over the labels that the prediction has and the truth lacks: in the whole volume "
    "(whole) or in that slice (slices); 0 where there are none",
    measure=measure,
)
