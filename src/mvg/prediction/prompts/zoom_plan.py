"""How prompts are magnified for a second pass, and where the query is.

Labels that are small compared with their slices are magnified about their own position: prompts about their labels, the
query about what the first pass predicted, all to about the same scale. Labels that are large but lose detail in the
model's square are cut into a grid of overlapping regions, each prompted by the same regions of the prompts' slices.
Other labels need no second pass.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame, Spacing, extent_of
from mvg.prediction.prompts.cutting import SliceLayout
from mvg.prediction.prompts.label_extents import Extent, MeasuredPair, measured_pair
from mvg.prediction.prompts.label_groups import grouped
from mvg.prediction.prompts.pairs import PairReader
from mvg.prediction.prompts.prompt_set import PromptSet, prepare_frames

_MARGIN = 1.4  # side of a square divided by the largest label extent in the prompts
_QUERY_MARGIN = 1.1  # side of a square divided by the predicted extent, at least
_SIMILAR_SCALE = 0.7  # least magnification of a query in units of the prompts' magnification
_MIN_MAGNIFICATION, _MAX_MAGNIFICATION = 1.25, 4.0
_THIN, _FINE = 0.8, 0.92  # labels with a lower IoU count as thin, as fine (IoU with what the square keeps of them)
_FINE_MAGNIFICATION = 1.75  # of fine labels; of thin ones it is what the slices' resolution allows
_OVERLAP = 0.25  # of neighboring regions
_GROUP_MAGNIFICATION = 2.0  # of small labels that are magnified apart from the others, at least
_WEIGHT, _GRID_WEIGHT = 0.5, 0.75  # of magnified answers beside those of whole slices; of those of a grid
_TOGETHER = 0.8  # small labels share a region that magnifies the less magnified of them at least this much as much


@dataclass(frozen=True, eq=False)
class ZoomRegion:
    """Magnified prompts: about their labels (`position` None), or at one position (row, column) in every slice.

    Positions run from -1 (the first edge) to 1. centers (v, 2): where the region lies in the squares of each prompt
    volume's whole slices, in pixels, NaN where that is unknown. classes: the class numbers that the region is about
    and serves; none for all. Its prompts show all classes, so that neighbors of small labels are told from them.
    """

    prompts: PromptSet
    magnification: float
    centers: NDArray[np.float32]
    position: tuple[float, float] | None = None
    classes: tuple[int, ...] = ()

    def frame(self, extent: Extent | None, shape: tuple[int, int], spacing: Spacing) -> Frame | None:
        """The frame of a query's slices; None where the query does not fit the prompts' scale.

        extent: where the first pass predicted the region's labels, None for nowhere.
        """
        size = self.prompts.images.shape[-1]
        if self.position is not None:
            center = _center_at(self.position, shape, spacing, self.magnification)
            return Frame.zoomed(shape, spacing, size, center, self.magnification)
        if extent is None:
            return None
        magnification = min(self.magnification, 1 / (_QUERY_MARGIN * extent.size))
        if magnification < max(_MIN_MAGNIFICATION, _SIMILAR_SCALE * self.magnification):
            return None
        return Frame.zoomed(shape, spacing, size, extent.center, magnification)

    @property
    def weight(self) -> float:
        """How much an answer for the region counts beside that of whole slices: alone for thin labels, which these
        cannot show.
        """
        if self.position is None:
            return _WEIGHT
        return _GRID_WEIGHT if self.magnification <= _FINE_MAGNIFICATION else 1.0

    def joined(self, other: "ZoomRegion") -> "ZoomRegion":
        """The prompts of another region of the same aim after those of this one."""
        centers = np.concatenate([self.centers, other.centers])
        return replace(self, prompts=self.prompts.joined(other.prompts), centers=centers)


@dataclass(frozen=True, eq=False)
class ZoomPlan:
    """The prompts of a task, magnified: about all labels, about groups of small labels, or in a grid of regions."""

    regions: tuple[ZoomRegion, ...]

    def with_example(self, reader: PairReader, prompts: PromptSet) -> "ZoomPlan":
        """The plan with the pairs of a reader after the others; `prompts` has the label values and the plane."""
        measured = [measured_pair(reader, number, prompts) for number in range(len(reader))]
        more = _regions(reader, prompts, measured, [_Aim.of(region) for region in self.regions])
        return ZoomPlan(tuple(one.joined(other) for one, other in zip(self.regions, more, strict=True)))


@dataclass(frozen=True)
class _Aim:
    """What a region is about, before its prompts are cut."""

    magnification: float
    position: tuple[float, float] | None = None
    classes: tuple[int, ...] = ()

    @classmethod
    def of(cls, region: ZoomRegion) -> "_Aim":
        return cls(region.magnification, region.position, region.classes)


def plan_zoom(reader: PairReader, prompts: PromptSet) -> ZoomPlan | None:
    """The magnified prompts of a segmentation; None where a second pass is not worthwhile."""
    if "zoom" not in reader.spec.postprocess or reader.spec.sampling != "whole":
        return None
    measured = [measured_pair(reader, number, prompts) for number in range(len(reader))]
    aims = _aims(measured, len(prompts.values))
    return ZoomPlan(tuple(_regions(reader, prompts, measured, aims))) if aims else None


def _aims(pairs: Sequence[MeasuredPair], classes: int) -> list[_Aim]:
    every = tuple(range(1, classes + 1))
    magnification = _magnification(pairs, every)
    if magnification >= _MIN_MAGNIFICATION:
        return [_Aim(magnification)]
    aims, sharpness = list[_Aim](), _sharpness(pairs, every)
    if sharpness >= _MIN_MAGNIFICATION:
        ticks = np.linspace(-1, 1, math.ceil((sharpness - _OVERLAP) / (1 - _OVERLAP)))
        aims = [_Aim(sharpness, (float(down), float(across))) for down in ticks for across in ticks]
    return aims + [_Aim(_magnification(pairs, group), classes=group) for group in _groups(pairs, every)]


def _groups(pairs: Sequence[MeasuredPair], classes: Sequence[int]) -> list[tuple[int, ...]]:
    """Small labels, those together that lie near one another."""
    small = [number for number in classes if _magnification(pairs, (number,)) >= _GROUP_MAGNIFICATION]
    return grouped(small, partial(_magnification, pairs), _TOGETHER)


def _magnification(pairs: Sequence[MeasuredPair], classes: Sequence[int]) -> float:
    """By how much some labels may be magnified; 1 where no pair shows them."""
    sizes = [extent.size for pair in pairs if (extent := pair.extent(classes)) is not None]
    return min(_MAX_MAGNIFICATION, 1 / (_MARGIN * max(sizes))) if sizes else 1.0


def _sharpness(pairs: Sequence[MeasuredPair], classes: Sequence[int]) -> float:
    """The magnification that fine labels among some need, 1 where the model's square keeps their detail."""
    overlaps = [overlap for pair in pairs for number in classes for overlap in pair.kept.get(number, ())]
    kept = float(np.mean(overlaps)) if overlaps else 1.0
    limit = _MAX_MAGNIFICATION if kept < _THIN else _FINE_MAGNIFICATION
    return 1.0 if kept >= _FINE else min(max(1.0, *(pair.resolution for pair in pairs)), limit)


def _regions(
    reader: PairReader, prompts: PromptSet, pairs: Sequence[MeasuredPair], aims: Sequence[_Aim]
) -> Iterator[ZoomRegion]:
    """The slices of all pairs, magnified as each aim says."""
    size = prompts.images.shape[-1]
    centers = [[_center(pair, aim) for aim in aims] for pair in pairs]

    def frames(number: int, shape: tuple[int, int], spacing: Spacing) -> tuple[Frame, ...]:
        return tuple(
            Frame.zoomed(shape, spacing, size, center, aim.magnification)
            for center, aim in zip(centers[number], aims, strict=True)
        )

    layout = SliceLayout(size, frames, prompts.values, prompts.plane)
    for number, (aim, magnified) in enumerate(zip(aims, prepare_frames(reader, layout, len(aims)), strict=True)):
        squares = [_in_square(center[number], pair, size) for center, pair in zip(centers, pairs, strict=True)]
        yield ZoomRegion(magnified, aim.magnification, np.array(squares, np.float32), aim.position, aim.classes)


def _center(pair: MeasuredPair, aim: _Aim) -> tuple[float, float]:
    """The center (row, column) of a region in the slices of a pair, in pixels."""
    if aim.position is not None:
        return _center_at(aim.position, pair.shape, pair.spacing, aim.magnification)
    extent = pair.extent(aim.classes) or pair.extent(())
    return (pair.shape[0] / 2, pair.shape[1] / 2) if extent is None else extent.center


def _in_square(center: tuple[float, float], pair: MeasuredPair, size: int) -> tuple[float, float]:
    """A point of a pair's slices in the square of the whole slice, in pixels."""
    box = Frame.letterbox(pair.shape, pair.spacing, size).target
    return box.top + center[0] / pair.shape[0] * box.rows, box.left + center[1] / pair.shape[1] * box.cols


def nearest_frame(frames: tuple[Frame, ...], shape: tuple[int, int]) -> NDArray[np.int64]:
    """The number of the frame that predicts each pixel (rows, cols): of those that cover it, the one whose center is
    nearest; -1 where none does.
    """
    nearest, chosen = np.full(shape, np.inf), np.full(shape, -1)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    for number, frame in enumerate(frames):
        box = frame.source
        down = np.abs(rows + 0.5 - box.top - box.rows / 2) / box.rows
        across = np.abs(cols + 0.5 - box.left - box.cols / 2) / box.cols
        distance = np.maximum(down, across)
        wins = (distance <= 0.5) & (distance < nearest)
        nearest[wins], chosen[wins] = np.broadcast_to(distance, shape)[wins], number
    return chosen


def _center_at(
    position: tuple[float, float], shape: tuple[int, int], spacing: Spacing, magnification: float
) -> tuple[float, float]:
    """The center (row, column) of a region of a grid, in pixels."""
    extent = extent_of(shape, spacing)
    covered = max(extent) / magnification
    # The center of a region may be this far from that of the slices; not at all along an axis that it covers whole.
    free = [max(0.0, length - covered) / 2 / step for length, step in zip(extent, spacing, strict=True)]
    row, col = (length / 2 + offset * reach for offset, length, reach in zip(position, shape, free, strict=True))
    return row, col
