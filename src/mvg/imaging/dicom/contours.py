"""Outlines of regions: closed lines between pixels, from which a reader gets the very same pixels back.

Lines run halfway between the pixels inside and those outside, so every pixel center lies clearly on its side. A hole is
joined with the outline around it by a channel of no width (DICOM's "keyhole"), so each region is one closed line.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Line = NDArray[np.float64]
"""Points (n, 2) of a closed line in (row, column); the first one is not repeated."""


def outlines(mask: NDArray[np.bool_]) -> list[Line]:
    """The closed lines around the regions of a mask (rows, cols), holes included; pixels touch by their sides."""
    from skimage.measure import label, regionprops

    lines = []
    for region in regionprops(label(mask, connectivity=1)):
        outer, *holes = _lines(region.image)
        line = _without_straight_points(_joined(outer, holes))
        lines.append(line + np.array(region.bbox[:2]))
    return lines


def _lines(image: NDArray[np.bool_]) -> list[Line]:
    """The lines of one connected region, the outer one first."""
    from skimage.measure import find_contours

    padded = np.pad(image, 1).astype(np.float64)
    lines = [line[:-1] - 1 for line in find_contours(padded, 0.5, fully_connected="low")]
    return sorted(lines, key=lambda line: -float(np.prod(np.ptp(line, axis=0))))


def _joined(outer: Line, holes: list[Line]) -> Line:
    """One line around a region and through its holes, the nearest hole first, so that no channel crosses a line."""
    rest = list(holes)
    while rest:
        tree = cKDTree(outer)
        nearest = [tree.query(hole) for hole in rest]
        chosen = min(range(len(rest)), key=lambda k: float(nearest[k][0].min()))
        distances, indices = nearest[chosen]
        at_hole = int(np.argmin(distances))
        at_outer, hole = int(indices[at_hole]), np.roll(rest.pop(chosen), -at_hole, axis=0)
        outer = np.concatenate([outer[: at_outer + 1], hole, hole[:1], outer[at_outer:]])
    return outer


def _without_straight_points(line: Line) -> Line:
    """The line without points that lie on the straight way between their neighbors."""
    before, after = np.roll(line, 1, axis=0), np.roll(line, -1, axis=0)
    a, b = line - before, after - line
    straight = (np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) < 1e-9) & ((a * b).sum(axis=1) > 0)
    return np.asarray(line[~straight])
