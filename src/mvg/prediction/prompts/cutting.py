"""Prompt volumes cut into the squares that the model takes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.frame import Frame, Spacing
from mvg.imaging.volume import LabelMap, Plane
from mvg.imaging.window import FULL_SCALE, Window, as_stored
from mvg.prediction.prompts.pairs import PairReader, WindowedPair, channels_first
from mvg.prediction.prompts.scan_facts import ScanFacts
from mvg.prediction.selection.retrieval import evenly_spaced

FramesOf = Callable[[int, tuple[int, int], Spacing], tuple[Frame, ...]]
"""A pair's number, its slices' shape (rows, cols) and pixel spacing -> the frames that each of its slices is cut to."""

_BUDGET = 512 * 2**20  # bytes of prompt slices; long volumes are thinned evenly beyond it
_MOST_SLICES = 384  # whole slices of all volumes; long volumes are thinned evenly beyond them
_MIN_SQUARES = 8  # fewest squares kept per volume; a single slice keeps all
_MAX_TILES = 64  # tiles kept of a volume, where prompts are cut into tiles
_GRAY_LEVEL = FULL_SCALE // 255  # a smaller difference is no change
_BYTES_PER_PIXEL = 4  # two of the image, two of the target
_TILE_OVERLAP = 4  # neighboring tiles share a quarter of their side


@dataclass(frozen=True)
class SliceLayout:
    """How prompt volumes are cut into squares.

    size: the side of a square in pixels. frames: those that each slice of a volume is cut to, each with as many slices
    as whole slices would have; None cuts as the task samples slices. values: the labels to number, None for all that
    occur; plane: None for the plane of most volumes. Single slices are cut along their own plane.
    """

    size: int
    frames: FramesOf | None = None
    values: tuple[int, ...] | None = None
    plane: Plane | None = None


@dataclass(frozen=True, eq=False)
class VolumeSlices:
    """The squares of one pair: images (m, i, s, s), targets (m, s, s), slice numbers (m,) among `count` slices.

    values: the labels that occur in the whole volume.
    """

    scan: ScanFacts
    target_window: Window
    values: tuple[int, ...]
    images: NDArray[np.uint16]
    targets: NDArray[Any]
    index: NDArray[np.int64]
    count: int

    def every(self, step: int, first: int) -> "VolumeSlices":
        """Every `step`-th square from the number `first` on."""
        which = slice(first, None, step)
        return replace(self, images=self.images[which], targets=self.targets[which], index=self.index[which])


def frames_for(shape: tuple[int, int], spacing: Spacing, size: int, sampling: str) -> tuple[Frame, ...]:
    """The frames of one slice: the whole slice ("whole"), or overlapping tiles at its own resolution ("tiles")."""
    if sampling == "tiles":
        return Frame.tiles(shape, size, size // _TILE_OVERLAP)
    return (Frame.letterbox(shape, spacing, size),)


def cut_pair(reader: PairReader, layout: SliceLayout, number: int, plane: Plane | None) -> VolumeSlices | None:
    """One pair along a plane (None: its own); None where it has no annotated slice."""
    pair, size = reader[number], layout.size
    plane = pair.image.cut_along(plane or pair.plane)
    shape, spacing = pair.geometry(plane)
    count, numbers = len(pair.image.pictures(plane)), pair.slices(plane)
    if not len(numbers):
        return None
    squares = max(_MIN_SQUARES, _BUDGET // (len(reader) * size * size * _BYTES_PER_PIXEL))
    if layout.frames is None:
        frames = frames_for(shape, spacing, size, reader.spec.sampling)
    else:
        frames = layout.frames(number, shape, spacing)
    if reader.spec.sampling == "tiles":
        slices = min(_MAX_TILES, squares, count)
        tiles = max(1, min(_MAX_TILES, squares) // slices)
    else:
        slices, tiles = min(squares, max(_MIN_SQUARES, _MOST_SLICES // len(reader))), len(frames)
    images, targets, index = _cut_slices(pair, plane, evenly_spaced(numbers, slices), (frames, tiles))
    if reader.spec.residual:
        changed = _changed(images[:, 0], targets)
        images, targets, index = images[changed], targets[changed], index[changed]
    labels = pair.target.values if isinstance(pair.target, LabelMap) and layout.values is None else ()
    window, scan = pair.target_window or pair.windows[0], ScanFacts.of(pair.image, plane, pair.windows)
    return VolumeSlices(scan, window, labels, images, targets, index, count)


def _cut_slices(
    pair: WindowedPair, plane: Plane, numbers: NDArray[np.int64], cutting: tuple[tuple[Frame, ...], int]
) -> tuple[NDArray[np.uint16], NDArray[Any], NDArray[np.int64]]:
    """Images (m, i, s, s), targets (m, s, s) and slice numbers (m,); of all frames the most structured ones."""
    pictures, target_slices = channels_first(pair.image.pictures(plane)), pair.target.pictures(plane)
    images, targets, index = list[NDArray[np.uint16]](), list[NDArray[Any]](), list[int]()
    for number in numbers.tolist():
        channels = np.stack([w.apply(channel) for w, channel in zip(pair.windows, pictures[number], strict=True)])
        for frame in _most_structured(channels[0], *cutting):
            images.append(as_stored(frame.apply(channels)))
            if pair.target_window is None:
                targets.append(frame.apply_labels(pair.labels(plane, number, channels[0])))
            else:
                targets.append(as_stored(frame.apply(pair.target_window.apply(target_slices[number]))))
            index.append(number)
    return np.stack(images), np.stack(targets), np.array(index)


def _changed(images: NDArray[np.uint16], targets: NDArray[Any]) -> NDArray[np.bool_]:
    """Which squares (m,) have a target that differs from the image, and so show the task; all if none has."""
    change = np.abs(images.astype(np.int32) - targets).max(axis=(1, 2)) > _GRAY_LEVEL
    return np.asarray(change if change.any() else ~change)


def _most_structured(picture: NDArray[Any], frames: tuple[Frame, ...], count: int) -> list[Frame]:
    if len(frames) <= count:
        return list(frames)
    return sorted(frames, key=lambda frame: -float(picture[frame.source.index].std()))[:count]
