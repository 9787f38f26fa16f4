"""What stands for NaN: images with NaN are refused, unless the user names a value for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from numpy.typing import NDArray

_VALUE: ContextVar[float | None] = ContextVar("value for NaN", default=None)


@contextmanager
def replacing_nan(value: float | None) -> Iterator[None]:
    """Images that are read in the block have `value` where their file has NaN; None refuses them."""
    token = _VALUE.set(value)
    try:
        yield
    finally:
        _VALUE.reset(token)


def without_nan(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The voxels with NaN replaced, if a value was named."""
    value = _VALUE.get()
    return voxels if value is None else np.where(np.isnan(voxels), np.float32(value), voxels)
