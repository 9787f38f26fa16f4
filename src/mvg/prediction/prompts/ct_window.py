"""Which window shows the labels of CT prompts: that for soft tissue, unless it clips what separates them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import CT_WINDOW, Window

_WIDER = ("lung", "bone", "full")  # in the order of preference
_NARROW = Window.named("brain")
_RANGE, _BIN = (-1500.0, 3500.0), 5.0  # HU of the histograms
_COARSE, _FINE = 25.0, 5.0  # HU that a model tells apart in a wide window, in a narrow one
_LEVELS = 16  # intensities that a model tells apart in any window
_MOST_LOSS = 0.3  # of the separation of some label, before another window is tried
_MIN_GAIN = 0.15  # of the separation of all labels, before the narrow window is used
_MOST_CLIPPED = 0.1  # share of a label that the narrow window may clip, and half of what it may clip around it
_SLICES = 12  # labelled slices per volume that are measured
_RING = 4  # pixels around a label that are compared with it

Histogram = NDArray[np.float64]


@dataclass
class LabelHistograms:
    """Histograms of HU inside of each label, and in a ring around it."""

    inside: dict[int, Histogram] = field(default_factory=dict)
    around: dict[int, Histogram] = field(default_factory=dict)

    def add(self, image: Volume, labels: LabelMap, offset: float) -> None:
        """Count a volume of one channel; offset: its intensities minus HU."""
        slices = image.pictures(image.plane)
        pictures = (slices if slices.ndim == 3 else slices[:, 0]), labels.pictures(image.plane)
        labeled = np.flatnonzero(pictures[1].any(axis=(1, 2)))
        for number in labeled[:: max(1, len(labeled) // _SLICES)]:
            self.add_slice(pictures[0][number] - offset, pictures[1][number])

    def add_slice(
        self,
        hu: NDArray[np.float32],
        labels: NDArray[np.integer],
        surroundings: Callable[[NDArray[np.bool_]], NDArray[np.bool_]] | None = None,
    ) -> None:
        """Count a slice (rows, cols); surroundings: of the mask of a label, None for a ring around it."""
        for value in np.unique(labels[labels != 0]):
            mask = labels == value
            if surroundings is None:
                self._count(int(value), *_with_ring(hu, mask))
            else:
                self._count(int(value), hu, mask, surroundings(mask))

    def _count(self, value: int, hu: NDArray[np.float32], mask: NDArray[np.bool_], around: NDArray[np.bool_]) -> None:
        for counts, where in ((self.inside, mask), (self.around, around)):
            counts[value] = counts.get(value, 0) + _histogram(hu[where])


def _with_ring(
    hu: NDArray[np.float32], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """The part of a slice about a label, the label in it, and a ring around that."""
    extent = ndimage.find_objects(mask.astype(np.uint8))[0]
    box = tuple(slice(max(0, part.start - _RING), part.stop + _RING) for part in extent)
    hu, mask = hu[box], mask[box]
    return hu, mask, ndimage.binary_dilation(mask, iterations=_RING) & ~mask


def choose_ct_window(pairs: Iterable[tuple[Volume, LabelMap, float]]) -> Window:
    """The window for images (with the offset of their intensities to HU) and their labels; see `best_window`."""
    histograms = LabelHistograms()
    for image, labels, offset in pairs:
        histograms.add(image, labels, offset)
    return best_window(histograms)


def best_window(histograms: LabelHistograms) -> Window:
    """The window that shows labels in their surroundings; soft tissue in doubt.

    A window that clips both a label and its surroundings hides the label. The first of the wider windows is taken that
    keeps most of what separates each label from its surroundings; for labels within the brain, the narrow one.
    """
    both = [(histograms.inside[value], histograms.around[value]) for value in histograms.inside]
    both = [(inside, around) for inside, around in both if inside.sum() and around.sum()]
    if not both:
        return CT_WINDOW
    if _largest_loss(both, CT_WINDOW) > _MOST_LOSS:
        candidates = [CT_WINDOW, *map(Window.named, _WIDER)]
        return min(candidates, key=lambda window: round(_largest_loss(both, window), 1))
    if all(_fits_narrow(*pair) for pair in both):
        return _NARROW
    return CT_WINDOW


def _histogram(hu: NDArray[np.float32]) -> Histogram:
    bins = round((_RANGE[1] - _RANGE[0]) / _BIN)
    return np.histogram(np.clip(hu, *_RANGE), bins=bins, range=_RANGE)[0].astype(np.float64)


def _largest_loss(both: list[tuple[Histogram, Histogram]], window: Window) -> float:
    """How much of the separation of a label is lost in a window: the most over all labels."""
    every = Window(window.low - np.ceil((window.low - _RANGE[0]) / _COARSE) * _COARSE, _RANGE[1])  # with the same steps
    return max(_separation(*pair, every, _COARSE) - _separation(*pair, window, _step(window)) for pair in both)


def _step(window: Window) -> float:
    """HU that a model tells apart in a window."""
    return max(_COARSE, (window.high - window.low) / _LEVELS)


def _separation(inside: Histogram, around: Histogram, window: Window, step: float) -> float:
    """1 minus the overlap of two histograms, seen through a window in steps of some HU.

    It is a mean over where the steps begin, so that it does not matter whether an edge lies between two labels.
    """
    centers = np.arange(_RANGE[0] + _BIN / 2, _RANGE[1], _BIN)
    position = (np.clip(centers, window.low, window.high) - window.low) / step
    overlaps = list[float]()
    for start in np.arange(0, step, _BIN) / step:
        group = np.floor(position + start).astype(int)
        one, other = (np.bincount(group, counts) / counts.sum() for counts in (inside, around))
        overlaps.append(float(np.minimum(one, other).sum()))
    return 1 - float(np.mean(overlaps))


def _fits_narrow(inside: Histogram, around: Histogram) -> bool:
    """Whether a label and its surroundings lie within the narrow window, and differ more clearly there."""
    centers = np.arange(_RANGE[0] + _BIN / 2, _RANGE[1], _BIN)
    margin = (_NARROW.high - _NARROW.low) / 4
    clipped = (centers < _NARROW.low - margin) | (centers > _NARROW.high + margin)
    if inside[clipped].sum() > _MOST_CLIPPED * inside.sum() or around[clipped].sum() > 2 * _MOST_CLIPPED * around.sum():
        return False
    gain = _separation(inside, around, _NARROW, _FINE) - _separation(inside, around, CT_WINDOW, _COARSE)
    return gain > _MIN_GAIN
