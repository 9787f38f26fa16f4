"""Pictures in the range they are judged in, and what lies in each region; what the image metrics are made of."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.benchmark.protocol.metric import Score


def difference(judged: Score) -> NDArray[np.float64]:
    """Answer minus truth (X, Y, Z), both clipped to the window and scaled to [0, 1]: a number in [-1, 1]."""
    assert judged.window is not None, "pictures are judged in a window"
    return judged.window.apply(judged.answer.voxels).astype(np.float64) - judged.window.apply(judged.truth.voxels)


def inside(values: NDArray[Any], judged: Score) -> Iterator[tuple[str, NDArray[Any]]]:
    """The values (X, Y, Z) of each region, flat; regions without voxels are left out."""
    for name, region in judged.regions.items():
        if region is None:
            yield name, values.ravel()
        elif region.any():
            yield name, values[region]
