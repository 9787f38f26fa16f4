"""Cuts one case into the slices that the store holds: windowed, framed, in 16 bits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import Card, Case
from mvg.data.case_labels import check_grid, read_case_labels
from mvg.errors import FileError
from mvg.imaging.files import read_gray
from mvg.imaging.frame import Box, Frame
from mvg.imaging.volume import IGNORED, LabelMap, Plane, Volume
from mvg.imaging.window import Window, as_stored

MAX_SIDE = 512  # pixels; larger pictures are shrunk


@dataclass(frozen=True)
class CaseSlices:
    """All slices of one case along its plane, including empty ones.

    images: (n, C, s, s) uint16, [0, 1] scaled to 65535; labels: (n, s, s) uint8; target: (n, s, s) uint16, as images.
    windows: one per channel; target_window: that of the target; both convert [0, 1] back to raw intensities.
    box: the part of the s x s square that holds the picture; spacing: (row, column) mm of a stored pixel. annotated:
    (n,), which slices were annotated as a whole; elsewhere labels that nobody knows are 0.
    """

    images: NDArray[np.uint16]
    labels: NDArray[np.uint8] | None
    target: NDArray[np.uint16] | None
    plane: Plane
    windows: tuple[Window, ...]
    target_window: Window | None
    box: Box
    spacing: tuple[float, float]
    annotated: NDArray[np.bool_]


def slice_case(case: Case, card: Card) -> CaseSlices:
    """Reads a case and cuts it into square slices; those above 512 pixels are shrunk, none is enlarged.

    Raises FileError for unreadable files and for labels that the card does not name or that do not fit into 8 bits,
    GeometryError for files on different grids.
    """
    channels = [read_gray(path) for path in case.images]
    for volume, path in zip(channels[1:], case.images[1:], strict=True):
        check_grid(volume, path, channels[0], case.images[0])
    plane = channels[0].plane
    rows, columns = channels[0].pictures(plane).shape[1:]
    frame = _frame((rows, columns), channels[0].pixel_spacing(plane))
    windows = tuple(storage_window(volume, card) for volume in channels)
    images = np.stack([_as_stored(v, plane, w, frame) for v, w in zip(channels, windows, strict=True)], axis=1)

    labels, annotated, target, target_window = None, np.ones(len(images), np.bool_), None, None
    if case.labels is not None:
        label_map, path = read_case_labels(case, card), case.files[len(case.images)]
        check_grid(label_map, path, channels[0], case.images[0])
        _check_values(label_map, path, card)
        values = label_map.pictures(plane)
        unknown = values == IGNORED
        annotated = ~unknown.any(axis=(1, 2))
        labels = frame.apply_labels(np.where(unknown, 0, values)).astype(np.uint8)
    if case.target is not None:
        volume = read_gray(case.target)
        check_grid(volume, case.target, channels[0], case.images[0])
        target_window = storage_window(volume, card)
        target = _as_stored(volume, plane, target_window, frame)
    rows_mm, columns_mm = channels[0].pixel_spacing(plane)
    spacing = (rows_mm * frame.shape[0] / frame.target.rows, columns_mm * frame.shape[1] / frame.target.cols)
    return CaseSlices(images, labels, target, plane, windows, target_window, frame.target, spacing, annotated)


def storage_window(volume: Volume, card: Card) -> Window:
    """The window in which pictures are stored: percentiles; for HU the full range, so that tasks can choose later."""
    return Window.named("full") if card.units == "HU" else Window.fit(volume.voxels, "other")


def _frame(shape: tuple[int, int], pixel_spacing: tuple[float, float]) -> Frame:
    """The smallest square that holds the picture in its physical aspect at its finer spacing, at most 512 pixels."""
    extent = max(shape[0] * pixel_spacing[0], shape[1] * pixel_spacing[1])
    side = min(MAX_SIDE, max(1, round(extent / min(pixel_spacing))))
    return Frame.padded(shape, pixel_spacing, side)


def _as_stored(volume: Volume, plane: Plane, window: Window, frame: Frame) -> NDArray[np.uint16]:
    pictures = frame.apply(window.apply(volume.pictures(plane)))
    return as_stored(pictures)


def _check_values(labels: LabelMap, path: Path, card: Card) -> None:
    unknown = sorted(set(labels.values) - set(card.labels))
    if unknown or min(labels.values, default=1) < 1 or max(labels.values, default=1) > 255:
        raise FileError(
            f"{path} holds the label values {', '.join(map(str, unknown or labels.values))}",
            f"values of 0 to 255 among those of {card.name}: {', '.join(map(str, card.labels))}",
            "renumber the labels, or name them in dataset.json if the set has one",
        )
