"""Dice coefficient of whole label maps."""

from mvg.benchmark.metrics._overlap import mean_of, overlaps
from mvg.benchmark.protocol.metric import Measurements, Metric, Score


def measure(judged: Score) -> list[Measurements]:
    """The mean Dice over the labels of truth or answer; a label that only one of them holds counts with 0."""
    found = overlaps(judged.answer.voxels, judged.truth.voxels)
    return mean_of({value: overlap.dice for value, overlap in found.items()}, judged.names, 1.0)


METRIC = Metric(
    name="Dice",
    unit="",
    range=(0.0, 1.0),
    better="higher",
    answers="labels",
    library="mvg, voxel counts",
    aggregation="per case over all voxels, mean over the labels present in truth or answer (1 where neither holds any)",
    measure=measure,
)
