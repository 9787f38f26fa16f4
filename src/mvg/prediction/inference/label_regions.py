"""Small labels of a session are predicted once more, magnified, in slices near annotated ones that show them.

There it is known where they lie. Farther away the region might show another part of the body. Where the first answer
reaches beyond the region, it stays as it is.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame
from mvg.prediction.inference.slice_answer import Magnified

NEAR = 2
"""Slices to an annotated slice that shows a small label, at most."""

_EDGE = 0.12  # of a region's sides, on which labels have too few surroundings
_OUTSIDE = 0.01  # share of the labels' pixels that may lie there or beyond


@runtime_checkable
class RegionEngine(Protocol):
    """What a region asks of its engine."""

    def annotate(self, annotated: Mapping[int, NDArray[np.uint8]]) -> None:
        """Take the annotated slices, class numbers (rows, cols) by slice number, instead of those before."""

    def fused(self, numbers: Sequence[int], classes: Sequence[int]) -> NDArray[np.float32]:
        """Log-odds (n, K, s, s) of slices in the region's square; fused for some classes, from 1 on."""

    def forget_features(self) -> None:
        """Free the features of the slices."""


@dataclass(frozen=True, eq=False)
class LabelRegion:
    """A region about some classes, from 1 on.

    annotated: class numbers (rows, cols) by slice number; labeled: those of these slices that show one of the classes.
    """

    classes: tuple[int, ...]
    frame: Frame
    annotated: Mapping[int, NDArray[np.uint8]]
    labeled: tuple[int, ...]
    engine: RegionEngine

    def serves(self, number: int) -> bool:
        """Whether a slice is near enough."""
        return any(abs(number - other) <= NEAR for other in self.labeled)

    def holds(self, main: Frame, log_odds: NDArray[np.float32]) -> bool:
        """Whether the labels lie inside, as log-odds (K, s, s) in the square of another frame have them."""
        rows, cols = np.nonzero((log_odds[[number - 1 for number in self.classes]] > 0).any(axis=0))
        down = main.source.top + (rows + 0.5 - main.target.top) * main.source.rows / main.target.rows
        across = main.source.left + (cols + 0.5 - main.target.left) * main.source.cols / main.target.cols
        box = self.frame.source
        inside = (np.abs((down - box.top) / box.rows - 0.5) < 0.5 - _EDGE) & (
            np.abs((across - box.left) / box.cols - 0.5) < 0.5 - _EDGE
        )
        return bool((~inside).sum() <= _OUTSIDE * len(inside))


def magnified(
    regions: Sequence[LabelRegion], main: Frame, log_odds: Mapping[int, NDArray[np.float32]]
) -> dict[int, list[Magnified]]:
    """What the regions say of slices, by their numbers; log_odds (K, s, s): the first answers, in the main square."""
    result = defaultdict[int, list[Magnified]](list)
    for region in regions:
        served = [number for number, first in log_odds.items() if region.serves(number) and region.holds(main, first)]
        if served:
            region.engine.annotate(region.annotated)
            for number, closer in zip(served, region.engine.fused(served, region.classes), strict=True):
                result[number].append(Magnified(region.frame, region.classes, closer))
    return result
