"""Hausdorff distance, 95th percentile: the distance between surfaces where they are far apart."""

from mvg.benchmark.metrics._overlap import mean_over_labels
from mvg.benchmark.metrics._surface import diagonal, surface_library, surfaces
from mvg.benchmark.protocol.metric import Metric, MetricInput, Score

PERCENTILE = 95


def measure(inputs: MetricInput) -> list[Score]:
    """The mean (mm) over the labels of truth or prediction; a label that only one has counts with the diagonal."""
    library, worst = surface_library(), diagonal(inputs)
    by_label = {
        label: worst if distances is None else float(library.compute_robust_hausdorff(distances, PERCENTILE))
        for label, distances in surfaces(inputs).items()
    }
    return mean_over_labels(by_label, inputs, if_empty=0.0)


METRIC = Metric(
    name="HD95",
    unit="mm",
    range=(0.0, float("inf")),
    better="lower",
    target_type="labels",
    definition="surface-distance (larger of both directed 95th percentiles, weighted by area), spacing of the file",
    aggregation=(
        "per case in 3D (single slices in 2D), mean over the labels in truth or prediction (one side only: the "
        "diagonal of the volume)"
    ),
    measure=measure,
    check=surface_library,
)
