"""Hausdorff distance, 95th percentile: how far surfaces lie apart where they lie far apart."""

from mvg.benchmark.metrics._overlap import mean_of
from mvg.benchmark.metrics._surface import diagonal, surface_library, surfaces
from mvg.benchmark.protocol.metric import Measurements, Metric, Score

PERCENTILE = 95


def measure(judged: Score) -> list[Measurements]:
    """The mean (mm) over the labels of truth or answer; a label that only one holds counts with the diagonal."""
    library, worst = surface_library(), diagonal(judged)
    parts = {
        value: worst if found is None else float(library.compute_robust_hausdorff(found, PERCENTILE))
        for value, found in surfaces(judged).items()
    }
    return mean_of(parts, judged.names, 0.0)


METRIC = Metric(
    name="HD95",
    unit="mm",
    range=(0.0, float("inf")),
    better="lower",
    answers="labels",
    library="surface-distance (larger of both directed 95th percentiles, weighted by area), spacing of the file",
    aggregation=(
        "per case in 3D (single slices in 2D), mean over the labels in truth or answer (one side only: the "
        "diagonal of the volume)"
    ),
    measure=measure,
    check=surface_library,
)
