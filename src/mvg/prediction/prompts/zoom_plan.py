"""How prompts are magnified for a second pass, and where the query is.

Labels that are small compared with their slices are magnified about their own position: prompts about their labels, the
query about what the first pass predicted, all to about the same scale. Labels that are large but lose detail in the
model's square are cut into a grid of overlapping regions, each prompted by the same regions of the prompts' slices.
Other labels need no second pass.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame, Spacing, extent_of
from mvg.imaging.volume import Plane
from mvg.prediction.prompts.cutting import SliceLayout
from mvg.prediction.prompts.pairs import PairReader
from mvg.prediction.prompts.prompt_set import PromptSet, prepare

_MARGIN = 1.4  # side of a square divided by the largest label extent in the prompts
_QUERY_MARGIN = 1.1  # side of a square divided by the predicted extent, at least
_SIMILAR_SCALE = 0.7  # least magnification of a query in units of the prompts' magnification
_MIN_MAGNIFICATION, _MAX_MAGNIFICATION = 1.25, 4.0
_THIN, _FINE = 0.8, 0.92  # labels with a lower IoU count as thin, as fine (IoU with what the square keeps of them)
_FINE_MAGNIFICATION = 1.75  # of fine labels; of thin ones it is what the slices' resolution allows
_OVERLAP = 0.25  # of neighboring regions
_SAMPLED_SLICES = 8  # labeled slices per prompt that are measured
_STRAY = 0.005  # share of pixels ignored at each end, so that single stray pixels do not widen the extent


@dataclass(frozen=True)
class Extent:
    """Where labels lie in their slices: center (row, column) in pixels, and size as a share of the slices' size."""

    center: tuple[float, float]
    size: float


@dataclass(frozen=True, eq=False)
class ZoomRegion:
    """Magnified prompts: about their own labels (`position` None), or at one position (row, column) in every slice.

    Positions run from -1 (the first edge) to 1.
    """

    position: tuple[float, float] | None
    prompts: PromptSet


@dataclass(frozen=True, eq=False)
class ZoomPlan:
    """The prompts of a task, magnified, in one region about the labels or in a grid of regions."""

    magnification: float
    regions: tuple[ZoomRegion, ...]

    def frames(self, extent: Extent | None, shape: tuple[int, int], spacing: Spacing) -> tuple[Frame, ...]:
        """The frames of a query's slices, one per region; none where the query does not fit the prompts' scale.

        extent: where the first pass predicted labels, None for nowhere.
        """
        size = self.regions[0].prompts.images.shape[-1]
        positions = [region.position for region in self.regions if region.position is not None]
        if positions:
            return tuple(_frame_at(position, shape, spacing, size, self.magnification) for position in positions)
        if extent is None:
            return ()
        magnification = min(self.magnification, 1 / (_QUERY_MARGIN * extent.size))
        if magnification < max(_MIN_MAGNIFICATION, _SIMILAR_SCALE * self.magnification):
            return ()
        return (Frame.zoomed(shape, spacing, size, extent.center, magnification),)

    def with_example(self, reader: PairReader, prompts: PromptSet) -> "ZoomPlan":
        """The plan with the pairs of a reader after the others; `prompts` has the label values and the plane."""
        size, positions = prompts.images.shape[-1], [region.position for region in self.regions]
        extents, _ = _measured(reader, size, prompts.plane)
        more = _magnified(reader, prompts, _Magnification(extents, positions, self.magnification))
        regions = (
            replace(region, prompts=region.prompts.joined(example))
            for region, example in zip(self.regions, more, strict=True)
        )
        return replace(self, regions=tuple(regions))


@dataclass(frozen=True)
class _Magnification:
    """Where each pair's labels lie, the regions' positions (None: about the labels), and the magnification."""

    extents: list[Extent | None]
    positions: list[tuple[float, float] | None]
    factor: float


def plan_zoom(reader: PairReader, prompts: PromptSet) -> ZoomPlan | None:
    """The magnified prompts of a segmentation; None where a second pass is not worthwhile."""
    if "zoom" not in reader.spec.postprocess or reader.spec.sampling != "whole":
        return None
    size = prompts.images.shape[-1]
    extents, sharpness = _measured(reader, size, prompts.plane)
    sizes = [extent.size for extent in extents if extent is not None]
    magnification = min(_MAX_MAGNIFICATION, 1 / (_MARGIN * max(sizes))) if sizes else 1.0
    positions: list[tuple[float, float] | None] = [None]
    if magnification < _MIN_MAGNIFICATION:
        magnification = sharpness
        ticks = np.linspace(-1, 1, math.ceil((magnification - _OVERLAP) / (1 - _OVERLAP)))
        positions = [(float(down), float(across)) for down in ticks for across in ticks]
    if magnification < _MIN_MAGNIFICATION:
        return None

    magnified = _magnified(reader, prompts, _Magnification(extents, positions, magnification))
    regions = (ZoomRegion(position, part) for position, part in zip(positions, magnified, strict=True))
    return ZoomPlan(magnification, tuple(regions))


def _magnified(reader: PairReader, prompts: PromptSet, how: _Magnification) -> list[PromptSet]:
    """The magnified slices of all pairs, one set for each region."""
    size, count = prompts.images.shape[-1], len(how.positions)

    def frames(number: int, shape: tuple[int, int], spacing: Spacing) -> tuple[Frame, ...]:
        extent = how.extents[number] or Extent((shape[0] / 2, shape[1] / 2), 1.0)
        return tuple(
            Frame.zoomed(shape, spacing, size, extent.center, how.factor)
            if position is None
            else _frame_at(position, shape, spacing, size, how.factor)
            for position in how.positions
        )

    whole = prepare(reader, SliceLayout(size, frames, prompts.values, prompts.plane))
    return [whole.subset(slice(number, None, count)) for number in range(count)]


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


def label_extent(labels: NDArray[Any], spacing: Spacing) -> Extent | None:
    """The extent of everything that is not 0 in slices (n, rows, cols); None where nothing is."""
    shape, spans = labels.shape[1:], []
    counts = np.zeros(shape[0], np.int64), np.zeros(shape[1], np.int64)  # of labeled pixels per row, per column
    for picture in labels:
        present = picture != 0
        for axis, count in enumerate(counts):
            count += present.sum(axis=1 - axis)
    if not counts[0].any():
        return None
    for count in counts:
        mass = count.cumsum()
        first = int(np.searchsorted(mass, _STRAY * mass[-1], side="right"))
        last = int(np.searchsorted(mass, (1 - _STRAY) * mass[-1])) + 1
        spans.append((first, last))
    size = max((last - first) * step for (first, last), step in zip(spans, spacing, strict=True))
    (top, bottom), (left, right) = spans
    share = float(size / max(extent_of((shape[0], shape[1]), spacing)))
    return Extent(((top + bottom) / 2, (left + right) / 2), share)


def _frame_at(
    position: tuple[float, float], shape: tuple[int, int], spacing: Spacing, size: int, magnification: float
) -> Frame:
    extent = extent_of(shape, spacing)
    covered = max(extent) / magnification
    # The center of a region may be this far from that of the slices; not at all along an axis that it covers whole.
    free = [max(0.0, length - covered) / 2 / step for length, step in zip(extent, spacing, strict=True)]
    center = [length / 2 + offset * reach for offset, length, reach in zip(position, shape, free, strict=True)]
    return Frame.zoomed(shape, spacing, size, (center[0], center[1]), magnification)


def _measured(reader: PairReader, size: int, plane: Plane) -> tuple[list[Extent | None], float]:
    """Where the labels of each prompt lie; and the magnification that fine labels need, 1 where the model's square
    keeps their detail.
    """
    extents, overlaps, resolution = [], list[float](), 1.0
    for number in range(len(reader)):
        pair = reader[number]
        plane_of_pair = pair.image.cut_along(plane)
        labels = np.asarray(pair.target.pictures(plane_of_pair))
        spacing = pair.image.pixel_spacing(plane_of_pair)
        extents.append(label_extent(labels, spacing))
        frame = Frame.letterbox(labels.shape[1:], spacing, size)
        resolution = max(resolution, max(extent_of(frame.shape, spacing)) / min(spacing) / size)
        overlaps += _kept_detail(labels, frame)
    kept = float(np.mean(overlaps)) if overlaps else 1.0
    limit = _MAX_MAGNIFICATION if kept < _THIN else _FINE_MAGNIFICATION
    return extents, 1.0 if kept >= _FINE else min(resolution, limit)


def _kept_detail(labels: NDArray[Any], frame: Frame) -> list[float]:
    """The IoU of labels with what the model's square keeps of them, per class of some labeled slices."""
    labeled = [picture for picture in labels if picture.any()]
    overlaps = []
    for picture in labeled[:: max(1, len(labeled) // _SAMPLED_SLICES)]:
        restored = frame.restore_labels(frame.apply_labels(picture))
        for value in np.unique(picture[picture != 0]):
            before, after = picture == value, restored == value
            overlaps.append(float((before & after).sum() / (before | after).sum()))
    return overlaps
