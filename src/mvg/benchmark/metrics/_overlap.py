"""How many voxels an answer shares with the truth, label by label; what the overlap metrics are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.benchmark.protocol.metric import Measurements


@dataclass(frozen=True)
class Overlap:
    """Voxels of one label: in both label maps, in the answer, in the truth; at least one of them holds some."""

    both: int
    said: int
    right: int

    @property
    def iou(self) -> float:
        """Intersection over union, in [0, 1]."""
        return self.both / (self.said + self.right - self.both)

    @property
    def dice(self) -> float:
        """Twice the intersection over the sum of both sizes, in [0, 1]."""
        return 2 * self.both / (self.said + self.right)


def overlaps(answer: NDArray[Any], truth: NDArray[Any]) -> dict[int, Overlap]:
    """The overlap of every label that the answer or the truth holds, in two label arrays of one shape, by value."""
    where = (answer != 0) | (truth != 0)
    said, right = answer[where], truth[where]
    values = np.unique(np.concatenate((np.unique(said), np.unique(right), [0]))).astype(np.int64)
    count, nothing = len(values), int(np.searchsorted(values, 0))
    pairs = np.searchsorted(values, said) * count + np.searchsorted(values, right)
    table = np.bincount(pairs, minlength=count * count).reshape(count, count)
    return {
        int(value): Overlap(int(table[at, at]), int(table[at].sum()), int(table[:, at].sum()))
        for at, value in enumerate(values)
        if at != nothing
    }


def mean_of(parts: Mapping[int, float], names: Mapping[int, str], nothing: float) -> list[Measurements]:
    """The mean over labels as the figure of a case; `nothing` where neither side holds a label."""
    by_name = {names.get(value, f"label {value}"): float(part) for value, part in parts.items()}
    return [Measurements("whole", float(np.mean(list(by_name.values()))) if by_name else nothing, by_name)]
