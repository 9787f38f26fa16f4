"""What raw intensities are: values that stand for no tissue, and computed tomography by its air and soft tissue."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ENOUGH = 1_000_000  # voxels, and fewer than twice as many, that are looked at
_RARE = 0.002  # a smaller share at one end moves no percentile that is used
_MANY_VALUES = 64  # a picture of fewer values has no fill value: each of them may be a structure
_GAP_BELOW, _GAP_ABOVE = 0.5, 2.0  # share of the other values' range that separates a fill value from them
_GAP_BELOW_ZERO = 0.02  # the same for a negative value where no other is negative
_LOWEST_MAXIMUM = 4095  # of 12 bits: only such a value fills at the upper end

_BITS_16 = 65536
_SEAM = 4096  # distance across the ends of 16 bits of values that still belong together
_EMPTY = {0: 49152, -32768: 16384}  # between the parts, by the lowest value: without a sign, HU alone are known to wrap
_MANY_AT_THE_SEAM = 32  # different values on either side of it
_PADDED = 0.75  # share of one number that may be padding: the rest lies in a smaller box

# Hounsfield units, and distances in them.
_AIR, _TISSUE = (-1300.0, -500.0), (-200.0, 200.0)  # air and lung; fat, organs and muscle
_MIN_AIR, _MIN_TISSUE = 0.01, 0.25  # shares of all voxels, and of those above air
_NEGATIVE = -20.0  # below it lie only fat, lung and air
_AIR_TO_TISSUE = (900.0, 1150.0)  # from the peak of air to that of tissue
_AIR_DEPTH = 200.0  # from the lowest values to the highest that may belong to the peak of air
_AIR_BIN, _TISSUE_BIN = 25.0, 50.0
_STORED_OFFSET = 1024.0  # of CT that is stored without negative values
_SNAP = 60.0  # an estimate this close to 1024 means 1024


def finite_sample(voxels: NDArray[Any]) -> NDArray[Any]:
    """A copy of the finite values of evenly spaced voxels, as one axis."""
    flat = np.asarray(voxels).ravel(order="K")  # as they lie in memory: a whole volume is not copied
    step = max(1, flat.size // _ENOUGH)
    flat = flat[:: step if step % 2 else step + 1]  # odd: never in phase with rows of even length
    return np.asarray(flat[np.isfinite(flat)])


def constant_slices(pictures: Iterable[NDArray[Any]]) -> NDArray[np.bool_]:
    """Which slices (n, ...) show one intensity alone, as those that were lost or masked."""
    return np.array([bool((picture == picture.flat[0]).all()) for picture in pictures], bool)


def without_padding(voxels: NDArray[Any]) -> NDArray[Any]:
    """The part of an image (X, Y, Z[, C]) that is not padded, if that is less than a quarter of it; else all of it.

    Padding is one number from the borders inwards. It would move the percentiles of everything else. A part of one
    number is no scan that was padded.
    """
    array = np.asarray(voxels)
    if array.ndim < 3 or not array.size:
        return array
    flat = array.ravel(order="K")  # as it lies in memory
    sample = flat[:: max(1, flat.size // _ENOUGH)]
    for padding in (flat[0], flat[-1]):  # one end of the image may have none
        if np.count_nonzero(sample == padding) >= _PADDED * sample.size:
            inner = _box_without(array, padding)
            is_scan = inner.size < (1 - _PADDED) * array.size and inner.min() < inner.max()
            return inner if is_scan else array
    return array


def _box_without(array: NDArray[Any], padding: Any) -> NDArray[Any]:
    """The smallest box (X, Y, Z[, C]) that holds all other values; the whole image where there is none."""
    filled, box = array != padding, list[slice]()
    for axis in range(3):
        along = np.flatnonzero(filled.any(axis=tuple(other for other in range(array.ndim) if other != axis)))
        if not along.size:
            return array
        box.append(slice(int(along[0]), int(along[-1]) + 1))
    return array[tuple(box)]


def wrap_of(voxels: NDArray[Any]) -> tuple[int, int, int] | None:
    """Whether values ran over an end of 16 bits: the range (low, high) that did, and what to add to it; None if not.

    Then values lie at both ends of the 16 bits, many of each, and none between: a CT in HU that was stored without a
    sign has its air near 65535, and bright voxels that were stored with one lie near -32768.
    """
    low, high = (float(voxels.min()), float(voxels.max())) if voxels.size else (0.0, 0.0)
    lowest = 0 if low >= 0 else -_BITS_16 // 2
    if not (low >= lowest and high < lowest + _BITS_16 < high - low + lowest + _SEAM):
        return None
    values = np.unique(finite_sample(voxels))
    if (values != np.rint(values)).any():
        return None
    gaps = np.diff(values)
    at = int(gaps.argmax())
    if gaps[at] < _EMPTY[lowest] or min(at + 1, len(values) - at - 1) < _MANY_AT_THE_SEAM:
        return None
    if lowest == 0:
        return int(values[at + 1]), _BITS_16 - 1, -_BITS_16
    return lowest, int(values[at]), _BITS_16


def without_fill(values: NDArray[Any]) -> NDArray[Any]:
    """The values (n,) without what fills the outside of a scan: one number at either end, far from the others.

    0 is never taken for one, because it is the natural background of most images.
    """
    for end in (_lowest, _highest):
        for _ in range(2):  # two programs may have padded an image
            fill = end(values)
            if fill is None:
                break
            values = values[values != fill]
    return values


def hounsfield_offset(values: NDArray[Any]) -> float | None:
    """What to subtract from the values (n,) of a CT to get HU; None where it does not show.

    CT has many voxels of air and, about 1000 above them, many of soft tissue. Without any air, negative values are HU,
    and values about 1064 are stored without negative values.
    """
    values = without_fill(values)
    if values.size == 0:
        return None
    if _has_air(values):
        return 0.0
    offset = _air_tissue_offset(values)
    if offset is not None:
        return _STORED_OFFSET if abs(offset - _STORED_OFFSET) <= _SNAP else float(round(offset))
    if _is_ct(values - _STORED_OFFSET):
        return _STORED_OFFSET
    if (values < _NEGATIVE).mean() > _RARE:
        return 0.0
    low, middle = np.percentile(values, (1, 50)) - _STORED_OFFSET
    return _STORED_OFFSET if low > _AIR[1] and _TISSUE[0] < middle < 1.5 * _TISSUE[1] else None


def has_offset_structure(values: NDArray[Any]) -> bool:
    """Whether values (n,) have the air and soft tissue of a CT at an offset to HU; MR may have it by chance."""
    return _air_tissue_offset(without_fill(values)) is not None


def in_hounsfield_units(voxels: NDArray[Any]) -> bool:
    """Whether the voxels of any shape have the air and the soft tissue of a CT in HU."""
    values = finite_sample(voxels)
    rest = without_fill(values)
    return _is_ct(rest) or (_is_ct(values) and _is_uniform_air(values, rest))


def _is_ct(hu: NDArray[Any]) -> bool:
    """Whether values (n,) in HU hold air, and above it mostly soft tissue."""
    body = hu[hu > _AIR[1]]
    tissue = np.count_nonzero((body >= _TISSUE[0]) & (body <= _TISSUE[1]))
    return _has_air(hu) and bool(tissue > 0 and tissue >= _MIN_TISSUE * body.size)


def _has_air(hu: NDArray[Any]) -> bool:
    return bool(np.count_nonzero((hu >= _AIR[0]) & (hu <= _AIR[1])) > _MIN_AIR * hu.size)


def _lowest(values: NDArray[Any]) -> float | None:
    return _fill(values, 1.0, _GAP_BELOW)


def _highest(values: NDArray[Any]) -> float | None:
    return _fill(values, -1.0, _GAP_ABOVE)


def _fill(values: NDArray[Any], sign: float, gap_share: float) -> float | None:
    """The fill value at the lower end (sign 1) or the upper end (-1); None where there is none."""
    if values.size == 0:
        return None
    fill = values.min() if sign > 0 else values.max()
    share = np.count_nonzero(values == fill) / values.size
    if fill == 0 or (sign < 0 and fill < _LOWEST_MAXIMUM) or not _RARE < share < 0.5:
        return None
    rest = values[values != fill]
    if len(np.unique(rest[:10_000])) < min(_MANY_VALUES, rest.size):
        return None
    low, high = np.percentile(rest, (0.5, 99.5))
    nearest = rest.min() if sign > 0 else rest.max()
    gap = sign * (float(nearest) - float(fill))
    alone_below_zero = sign > 0 and fill < 0 <= nearest
    return float(fill) if gap > (_GAP_BELOW_ZERO if alone_below_zero else gap_share) * (high - low) else None


def _air_tissue_offset(values: NDArray[Any]) -> float | None:
    """The estimated offset from HU to the values: the peak of air plus 1000; None without air and soft tissue."""
    low = float(np.percentile(values, 100 * _MIN_AIR / 2))
    air = values[(values >= low - _AIR_DEPTH) & (values < low + _AIR_DEPTH)]
    if air.size < _MIN_AIR * values.size:
        return None
    offset = 1000 + _mode(air, (low - _AIR_DEPTH, low + _AIR_DEPTH), _AIR_BIN)
    tissue = values[(values >= offset + _TISSUE[0]) & (values <= offset + _TISSUE[1])] - offset
    if not _is_ct(values - offset):
        return None
    distance = 1000 + _mode(tissue, _TISSUE, _TISSUE_BIN)
    return offset if _AIR_TO_TISSUE[0] <= distance <= _AIR_TO_TISSUE[1] else None


def _mode(values: NDArray[Any], between: tuple[float, float], width: float) -> float:
    """The median of the values about the fullest bin of a histogram."""
    counts, edges = np.histogram(values, bins=round((between[1] - between[0]) / width), range=between)
    center = edges[counts.argmax()] + width / 2
    return float(np.median(values[np.abs(values - center) <= width]))


def _is_uniform_air(values: NDArray[Any], rest: NDArray[Any]) -> bool:
    """Whether what looks like a fill value is air of one intensity: a large part of a picture of soft tissue."""
    air, body = values.size - rest.size, rest[np.abs(rest) > 5]  # an MR scan with a rim is mostly 0 beside it
    return air > 0.15 * values.size and body.size > 0.8 * rest.size and bool((np.abs(body) < 300).mean() > 0.8)
