"""What is predicted for all slices of a query, and what refinements need to know of it."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_MEMORY_BYTES = 2**30  # larger class probabilities are kept on disk


@dataclass(frozen=True, eq=False)
class VolumePrediction:
    """The prediction for n slices of a query.

    pixels (n, rows, cols): class numbers, 0 for background, or raw intensities. uncertainty (n, rows, cols) in [0, 1],
    None if not asked for. probabilities (K + 1, n, rows, cols) float16, background first, None if not asked for.
    Labels: prompted (n, K), the classes that the prompts of a slice hold; confidence (n, K), the mean probability of
    each class over the pixels where it is the most likely one (0 where there is none), area (n, K), their number, and
    rejected (n, K), the classes that were removed. squares (n, f, s, s): predicted pictures as the model gave them,
    where a refinement needs them.

    Volumes are large, so refinements write into these arrays instead of copying them.
    """

    pixels: NDArray[np.uint8] | NDArray[np.float32]
    prompted: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    area: NDArray[np.int64]
    rejected: NDArray[np.bool_]
    uncertainty: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float16] | None = None
    squares: NDArray[np.float32] | None = None

    @property
    def slice_confidence(self) -> NDArray[np.float64]:
        """The mean probability (n,) over the labeled pixels of each slice; 0 where nothing is labeled."""
        kept = self.area * ~self.rejected
        return np.asarray((self.confidence * kept).sum(axis=1) / np.maximum(kept.sum(axis=1), 1))

    def label_confidence(self, values: Sequence[int]) -> dict[int, float]:
        """The mean probability over the pixels of each label that kept some, by its value in `values`."""
        kept = self.area * ~self.rejected
        area = kept.sum(axis=0)
        means = (self.confidence * kept).sum(axis=0) / np.maximum(area, 1)
        return {value: float(means[at]) for at, value in enumerate(values) if area[at]}


def empty_probabilities(classes: int, shape: tuple[int, int, int]) -> NDArray[np.float16]:
    """Zeros (classes, n, rows, cols); in a file that goes away with the array where they exceed 1 GiB."""
    whole = (classes, *shape)
    if 2 * int(np.prod(whole)) <= _MEMORY_BYTES:
        return np.zeros(whole, np.float16)
    with tempfile.NamedTemporaryFile(prefix="mvg-probabilities-") as file:
        return np.memmap(Path(file.name), np.float16, "w+", shape=whole)
