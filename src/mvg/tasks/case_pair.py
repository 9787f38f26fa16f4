"""The pair (image, target) of a whole case, on the grid of its files: what evaluation asks of a task."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import Card, Case
from mvg.data.case_labels import read_case_labels
from mvg.data.slicing import storage_window
from mvg.data.store import STORED_BACKGROUND, SliceRow, StoredSlice
from mvg.imaging.files import read_gray
from mvg.imaging.frame import Box
from mvg.imaging.orientation import CUT_AXIS
from mvg.imaging.volume import IGNORED, LabelMap, Plane, Volume
from mvg.imaging.window import Window, as_stored
from mvg.tasks.measurement import Measurement

_Grid = TypeVar("_Grid", bound=Volume | LabelMap)


@dataclass(frozen=True, eq=False)
class CasePair:
    """An image and its target on one grid.

    regions: name -> mask (X, Y, Z), where predictions of pictures are measured first: the voids of an inpainting.
    labels: the label map of the case, where a segmentation of the predicted picture can be compared with it.
    measurement: the raw data that the image comes from, where there are any.
    """

    image: Volume
    target: Volume | LabelMap
    regions: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    labels: LabelMap | None = None
    measurement: Measurement | None = None

    def thinned(self, count: int) -> "CasePair":
        """At most `count` slices of everything, evenly spaced along the image's plane."""
        plane, image = self.image.plane, thinned(self.image, self.image.plane, count)
        numbers = kept_slices(len(self.image.pictures(plane)), count)
        masks = {name: LabelMap(mask, self.image.affine) for name, mask in self.regions.items()}
        return CasePair(
            image,
            thinned(self.target, plane, count),
            {name: thinned(mask, plane, count).voxels > 0 for name, mask in masks.items()},
            None if self.labels is None else thinned(self.labels, plane, count),
            None if self.measurement is None else self.measurement.subset(numbers, image),
        )


@dataclass(frozen=True)
class CaseFiles:
    """The files of a case, read on request. The two readers may be replaced by ones that cache."""

    case: Case
    card: Card
    read: Callable[[Path], Volume] = read_gray
    read_labels: Callable[[Case, Card], LabelMap] = read_case_labels

    def image(self, channel: int) -> Volume:
        """The image of a channel, in the units of its file."""
        return self.read(self.case.images[channel])

    def target(self) -> Volume:
        """The image target; only for cases that have one."""
        assert self.case.target is not None, "only for cases with an image target"
        return self.read(self.case.target)

    def labels(self) -> LabelMap | None:
        """The label map with `IGNORED` where nobody annotated, None where the case has none."""
        return None if self.case.labels is None else self.read_labels(self.case, self.card)

    def slices(self) -> Iterator[StoredSlice]:
        """All slices along the plane of the first image, as the store keeps them, at the resolution of the files.

        They are padded to squares with 0; `row.box` is the slice without the padding.
        """
        images = [self.image(at) for at in range(len(self.card.channels))]
        plane, spacing = images[0].plane, images[0].pixel_spacing(images[0].plane)
        windows = tuple(storage_window(image, self.card) for image in images)
        stored = np.stack([_stored(v, plane, w) for v, w in zip(images, windows, strict=True)], axis=1)
        target, target_window = self._stored_target(plane)
        label_map = self.labels()
        labels = None if label_map is None else _square(_known_or_background(label_map.pictures(plane)))
        rows, columns = images[0].pictures(plane).shape[1:]
        for at, channels in enumerate(stored):
            mask = None if labels is None else labels[at]
            row = self.row(at, len(stored), plane, channels[0, :rows, :columns], mask)
            row = replace(
                row, windows=windows, target_window=target_window, spacing=spacing, box=Box(0, 0, rows, columns)
            )
            yield StoredSlice(self.card, row, channels, mask, None if target is None else target[at])

    def _stored_target(self, plane: Plane) -> tuple[NDArray[np.uint16] | None, Window | None]:
        if self.case.target is None:
            return None, None
        target = self.target()
        window = storage_window(target, self.card)
        return _stored(target, plane, window), window

    def row(
        self, index: int, count: int, plane: Plane, picture: NDArray[np.uint16], labels: NDArray[np.uint8] | None
    ) -> SliceRow:
        """What an index says of a slice; picture: the slice of the first image as stored. Windows are left out."""
        case, filled = self.case, float((picture > STORED_BACKGROUND).mean())
        present = () if labels is None else tuple(int(value) for value in np.unique(labels) if value)
        return SliceRow(
            index, case.name, case.patient, index, count, plane, (), None, (1.0, 1.0), Box(0, 0, 1, 1),
            labels is not None, present, filled, case.split,
        )  # fmt: skip


def thinned(volume: _Grid, plane: Plane, count: int) -> _Grid:
    """At most `count` slices of a volume along a plane, evenly spaced, as a volume with thicker steps."""
    numbers = kept_slices(len(volume.pictures(plane)), count)
    if numbers.step == 1:
        return volume
    canonical, axis = volume.canonical(), CUT_AXIS[plane]
    affine = canonical.affine.copy()
    affine[:3, 3] += affine[:3, axis] * numbers.start
    affine[:3, axis] *= numbers.step
    return type(volume)(canonical.voxels.take(numbers, axis), affine)


def kept_slices(length: int, count: int) -> range:
    """The numbers of at most `count` of `length` slices, evenly spaced and as far apart as it takes to span them."""
    step = max(1, -(-length // count))
    kept = 1 + (length - 1) // step
    first = (length - 1 - step * (kept - 1)) // 2
    return range(first, first + step * kept, step)


def _known_or_background(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    return np.where(labels == IGNORED, 0, labels).astype(np.uint8)


def _stored(volume: Volume, plane: Plane, window: Window) -> NDArray[np.uint16]:
    return _square(as_stored(window.apply(volume.pictures(plane))))


def _square(pictures: NDArray[Any]) -> NDArray[Any]:
    """Pictures (n, rows, columns) padded with 0 at the bottom or the right: (n, s, s)."""
    rows, columns = pictures.shape[1:]
    side = max(rows, columns)
    return np.pad(pictures, ((0, 0), (0, side - rows), (0, side - columns)))
