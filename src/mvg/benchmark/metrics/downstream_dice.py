"""What a synthetic picture is good for: how well a segmentation of real pictures does on it."""

from mvg.benchmark.metrics._overlap import mean_of, overlaps
from mvg.benchmark.protocol.metric import Measurements, Metric, Score
from mvg.imaging.volume import Volume


def measure(judged: Score) -> list[Measurements]:
    """The mean Dice of the answer's segmentation against the case's labels; nothing where either is not to be had."""
    if judged.segment is None or judged.labels is None:
        return []
    assert isinstance(judged.answer, Volume)
    found = overlaps(judged.segment(judged.answer).voxels, judged.labels.voxels)
    return mean_of({value: overlap.dice for value, overlap in found.items()}, judged.names, 1.0)


METRIC = Metric(
    name="downstream Dice",
    unit="",
    range=(0.0, 1.0),
    better="higher",
    answers="image",
    library="mvg, voxel counts, by a segmentation that learnt from real images",
    aggregation="per case, the whole answer is segmented; mean over the labels present in the truth or found",
    measure=measure,
)
