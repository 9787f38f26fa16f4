"""Compares pictures in the intensity range of the truth, region by region, for the image metrics."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.benchmark.protocol.metric import MetricInput


def difference(inputs: MetricInput) -> NDArray[np.float64]:
    """Prediction minus truth (X, Y, Z), both clipped to the window and scaled to [0, 1]: in [-1, 1]."""
    assert inputs.window is not None, "pictures are measured in a window"
    predicted = inputs.window.apply(inputs.prediction.voxels).astype(np.float64)
    return predicted - inputs.window.apply(inputs.truth.voxels)


def by_region(values: NDArray[Any], inputs: MetricInput) -> Iterator[tuple[str, NDArray[Any]]]:
    """The values (X, Y, Z) of each region, flat; regions without voxels are left out."""
    for name, region in inputs.regions.items():
        if region is None:
            yield name, values.ravel()
        elif region.any():
            yield name, values[region]
