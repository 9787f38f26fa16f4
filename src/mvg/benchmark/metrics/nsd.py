"""Normalized surface distance: the fraction of both surfaces that lies within a tolerance of the other one."""

from mvg.benchmark.metrics._overlap import mean_over_labels
from mvg.benchmark.metrics._surface import surface_library, surfaces
from mvg.benchmark.protocol.metric import Metric, MetricInput, Score

TOLERANCE = 2.0  # mm


def measure(inputs: MetricInput) -> list[Score]:
    """The mean over the labels of truth or prediction; a label that only one of them has counts with 0."""
    library = surface_library()
    by_label = {
        label: 0.0 if distances is None else float(library.compute_surface_dice_at_tolerance(distances, TOLERANCE))
        for label, distances in surfaces(inputs).items()
    }
    return mean_over_labels(by_label, inputs, if_empty=1.0)


METRIC = Metric(
    name="NSD",
    unit="",
    range=(0.0, 1.0),
    better="higher",
    target_type="labels",
    definition=f"surface-distance (surface Dice, weighted by area), tolerance {TOLERANCE:g} mm, spacing of the file",
    aggregation="per case in 3D (single slices in 2D), mean over the labels in truth or prediction (one side only: 0)",
    measure=measure,
    check=surface_library,
)
