"""How often each whole number occurs in a large array."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_COUNTED_RANGE = 2**16  # values farther apart are sorted
_COUNTED_AT_ONCE = 2**20  # so that no copy of a whole volume is made


def value_counts(numbers: NDArray[Any]) -> dict[int, int]:
    """How many elements of an integer array (not empty) have each value that occurs, in ascending order of values.

    Counting labels takes a tenth of the time of sorting them.
    """
    in_memory_order = numbers.ravel(order="K")
    low, high = int(in_memory_order.min()), int(in_memory_order.max())
    if high - low >= _COUNTED_RANGE:
        values, counts = np.unique(in_memory_order, return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))
    total = np.zeros(high - low + 1, np.int64)
    for start in range(0, len(in_memory_order), _COUNTED_AT_ONCE):
        part = in_memory_order[start : start + _COUNTED_AT_ONCE].astype(np.int64)
        total += np.bincount(part - low, minlength=len(total))
    return {low + number: int(total[number]) for number in np.flatnonzero(total).tolist()}
