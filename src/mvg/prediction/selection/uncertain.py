"""Which slices of a volume are worth correcting next, and which are predicted together."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RANGE = 0.15  # of the length of the annotated and uncertain part of a volume: how far a correction reaches
_MOST_TOGETHER = 24  # slices that are predicted together, so that the first of them need not wait for many


def outward(number: int, center: int, slices: Collection[int]) -> list[int]:
    """The slice `number` and some that follow it away from `center`, more the farther away it is.

    Slices that are predicted together cost less than one by one, but come later.
    """
    distance = number - center
    direction = 1 if distance >= 0 else -1
    count = max(2, min(_MOST_TOGETHER, 2 * abs(distance)))
    return [other for other in range(number, number + direction * count, direction) if other in slices]


def worth_correcting(doubts: Mapping[int, float], count: int) -> tuple[int, ...]:
    """The numbers of up to `count` slices, the most valuable first.

    doubts: pixels that are likely wrong in each open slice. A correction mends the slice and, less and less, those
    around it; a slice is worth what it mends beyond the slices chosen before it.
    """
    numbers = np.array(sorted(doubts))
    if not len(numbers):
        return ()
    remaining = np.array([doubts[number] for number in numbers.tolist()])
    doubtful = numbers[remaining > 0.05 * remaining.max()]
    reach = max(1.0, _RANGE * (doubtful.max() - doubtful.min() + 1))
    mended = np.exp(-((numbers[:, None] - numbers[None]) ** 2) / (2 * reach**2))
    chosen: list[int] = []
    while len(chosen) < min(count, len(numbers)):
        gains = mended @ remaining
        gains[np.isin(numbers, chosen)] = -1
        best = int(gains.argmax())
        chosen.append(int(numbers[best]))
        remaining = remaining * (1 - mended[best])
    return tuple(chosen)


def likely_errors(uncertainty: NDArray[Any], classes: int) -> NDArray[np.float32]:
    """The probability that a label is wrong, from its uncertainty (any shape), see `Prediction`.

    classes: without background. It is that of two outcomes with the same entropy: 0.5 where that is one bit or more.
    """
    wrong = np.linspace(0, 0.5, 101)[1:]
    bits = -wrong * np.log2(wrong) - (1 - wrong) * np.log2(1 - wrong)
    entropy = uncertainty * np.log2(classes + 1)
    return np.asarray(np.interp(entropy, [0, *bits], [0, *wrong]), np.float32)
