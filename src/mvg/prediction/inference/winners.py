"""Which class wins each pixel of a slice, found only where a class can win, and how sure a slice is of its classes."""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mvg.imaging.frame import Frame


def winning_classes(frame: Frame, probabilities: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Class numbers (rows, cols) of a slice from probabilities (K + 1, s, s), background first; pixels of each (K,).

    A pixel's probabilities are interpolated from cells, so a class wins no pixel where it is less likely than the
    background in every cell. Each class is restored there alone.
    """
    best = frame.restore(probabilities[0])
    numbers = np.zeros(best.shape, np.uint8)
    for number in range(1, len(probabilities)):
        box, likely = frame.restore_part(probabilities[number], probabilities[number] > probabilities[0])
        leading, winner = best[box.index], numbers[box.index]
        winner[likely > leading] = number
        np.maximum(leading, likely, out=leading)
    return numbers, np.bincount(numbers.ravel(), minlength=len(probabilities))[1:]


def winners_confidence(
    alone: Float[Tensor, "n k h w"], after: Float[Tensor, "n k h w"]
) -> Float[NDArray[np.float32], "n labels"]:
    """How probable each class is (n, K) in the cells that it wins; its highest probability where it wins none.

    alone: of the slices one by one, whose probabilities are the mean; after: they were joined along the volume, which
    decides who wins. Joining makes probabilities more alike, in another way for each label, so that they rank cases and
    slices less well. Cells, not pixels: thresholds are determined in cells too, and interpolation lowers probabilities.
    """
    winner, result = after.argmax(dim=1), alone[:, 1:].amax(dim=(2, 3))
    for number in range(1, alone.shape[1]):
        wins = winner == number
        cells = wins.sum(dim=(1, 2))
        mean = (alone[:, number] * wins).sum(dim=(1, 2)) / cells.clamp(min=1)
        result[:, number - 1] = torch.where(cells > 0, mean, result[:, number - 1])
    return result.cpu().numpy()
