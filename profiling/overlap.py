"""Compares labels with the truth, for programs that measure predictions."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def dice_of(labels: NDArray[Any], truth: NDArray[Any], values: Iterable[int]) -> dict[int, float]:
    """The Dice of each label value, of two label arrays of one shape; 1 where neither has the label."""
    return {value: _dice(labels == value, truth == value) for value in values}


def mean_dice(labels: NDArray[Any], truth: NDArray[Any], values: Iterable[int]) -> float:
    """The mean over the label values."""
    return float(np.mean(list(dice_of(labels, truth, values).values())))


def _dice(labels: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    total = int(labels.sum()) + int(truth.sum())
    return 2 * int((labels & truth).sum()) / total if total else 1.0
