"""Which class wins each pixel of a slice, found only where a class can win."""

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame


def winning_classes(
    frame: Frame, probabilities: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]:
    """Class numbers (rows, cols) of a slice from probabilities (K + 1, s, s), background first.

    Also per class (K,), over the pixels that it wins: its mean probability, and their number. A pixel's probabilities
    are interpolated from cells, so a class wins no pixel where it is less likely than the background in every cell.
    Each class is restored there alone.
    """
    best = frame.restore(probabilities[0])
    numbers = np.zeros(best.shape, np.uint8)
    for number in range(1, len(probabilities)):
        box, likely = frame.restore_part(probabilities[number], probabilities[number] > probabilities[0])
        leading, winner = best[box.index], numbers[box.index]
        winner[likely > leading] = number
        np.maximum(leading, likely, out=leading)
    labeled = numbers > 0
    won, probability = numbers[labeled], best[labeled]
    area = np.bincount(won, minlength=len(probabilities))[1:]
    total = np.bincount(won, probability, minlength=len(probabilities))[1:]
    return numbers, np.asarray(total / np.maximum(area, 1), np.float32), area
