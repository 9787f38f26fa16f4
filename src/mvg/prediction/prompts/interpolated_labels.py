"""Label maps that were resampled as pictures: between two labels lie numbers that are their means."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.imaging.volume import LabelMap

_SLICES = 8  # labeled slices that are looked at
_NEAR = 3  # pixels that a rim of means is wide at most
_MOST_DIRECT, _LEAST_RIMMED = 0.1, 0.5  # shares of a label's edge: beside background, and with it behind a thin rim


def interpolated_label(labels: LabelMap) -> tuple[int, tuple[int, ...]] | None:
    """The first label whose edge towards the background is a thin rim of smaller labels, and these; else None.

    Labels that touch the background somewhere, as almost all structures do, have no such rim; a structure that encloses
    another one is thicker.
    """
    pictures = labels.pictures(labels.plane)
    labeled = np.flatnonzero((pictures > 0).any(axis=(1, 2)))
    slices = [pictures[number] for number in labeled[:: max(1, len(labeled) // _SLICES)]]
    for value in [value for value in labels.values if value > 0][1:]:
        counts = [_edge(picture, value) for picture in slices]
        edge, direct, rimmed = (sum(column) for column in zip(*counts, strict=True))
        if edge and direct <= _MOST_DIRECT * edge and rimmed >= _LEAST_RIMMED * edge:
            return value, _rim(slices, value)
    return None


def _edge(picture: NDArray[np.integer], value: int) -> tuple[int, int, int]:
    """The pixels of a label along smaller ones, those of them beside background, and those with it behind a rim."""
    rows, columns = (np.flatnonzero((picture == value).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return 0, 0, 0
    reach = _NEAR + 1  # what lies farther away has no effect on these pixels
    box = tuple(slice(max(0, int(span[0]) - reach), int(span[-1]) + reach + 1) for span in (rows, columns))
    picture = picture[box]
    inside, background = picture == value, picture <= 0
    edge = inside & (ndimage.minimum_filter(picture, 3) < value)
    direct = edge & ndimage.binary_dilation(background)
    near = edge & ndimage.binary_dilation(background, np.ones((3, 3)), _NEAR)
    return int(edge.sum()), int(direct.sum()), int((near & ~direct).sum())


def _rim(slices: list[NDArray[np.integer]], value: int) -> tuple[int, ...]:
    """The smaller labels within the rim of a label."""
    beside = [ndimage.binary_dilation(picture == value, np.ones((3, 3)), _NEAR) for picture in slices]
    values = np.concatenate([picture[near & (picture > 0)] for picture, near in zip(slices, beside, strict=True)])
    return tuple(int(one) for one in np.unique(values[values < value]))
