"""Normalized surface distance: how much of both surfaces lies within a tolerance of the other one."""

from mvg.benchmark.metrics._overlap import mean_of
from mvg.benchmark.metrics._surface import surface_library, surfaces
from mvg.benchmark.protocol.metric import Measurements, Metric, Score

TOLERANCE = 2.0  # mm


def measure(judged: Score) -> list[Measurements]:
    """The mean over the labels of truth or answer; a label that only one of them holds counts with 0."""
    library = surface_library()
    parts = {
        value: 0.0 if found is None else float(library.compute_surface_dice_at_tolerance(found, TOLERANCE))
        for value, found in surfaces(judged).items()
    }
    return mean_of(parts, judged.names, 1.0)


METRIC = Metric(
    name="NSD",
    unit="",
    range=(0.0, 1.0),
    better="higher",
    answers="labels",
    library=f"surface-distance (surface Dice, weighted by area), tolerance {TOLERANCE:g} mm, spacing of the file",
    aggregation="per case in 3D (single slices in 2D), mean over the labels in truth or answer (one side only: 0)",
    measure=measure,
    check=surface_library,
)
