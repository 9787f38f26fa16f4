"""Prompt pairs made ready: windowed, framed, cut into slices, in 16 bit; what a task file holds."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvg.errors import GeometryError, PromptError
from mvg.imaging.coloring import MOST_CLASSES
from mvg.imaging.frame import Frame, Spacing
from mvg.imaging.volume import LabelMap, Plane, Volume
from mvg.imaging.window import Window
from mvg.prediction.asked import Volumes, fit_window, modality_of
from mvg.prediction.selection.retrieval import PromptIndex, spaced, thumbnails
from mvg.tasks import TaskSpec

Framing = Callable[[int, tuple[int, int], Spacing], tuple[Frame, ...]]
"""A pair's number, its slices' shape (rows, cols) and pixel spacing -> how each of its slices is put into squares."""

_FULL_SCALE = 65535
_BUDGET = 512 * 2**20  # bytes of prepared slices; long volumes are thinned evenly beyond it
_FEWEST = 8  # squares of a volume that are kept all the same, and all squares of one slice
_TILES = 64  # most telling tiles kept of a volume, where prompts are shown at native resolution
_GRAY = _FULL_SCALE // 255  # where no pixel departs by more, nothing changes
_OVERLAP = 4  # neighbouring tiles share a quarter of their side


@dataclass(frozen=True, eq=False)
class PromptSet:
    """The m prompt slices of a request.

    images (m, s, s) uint16, [0, 1] scaled to 65535; targets (m, s, s): uint8 class numbers (0 background, 1..K in the
    order of `values`) or, without values, uint16 pictures; volume, index, count (m,): where each slice comes from, see
    `PromptIndex`. values: the K label values; plane: how volumes are cut; modality: "CT" when intensities are HU,
    "other" when none of them looks so; target_window: the raw intensities of a picture target,
    typical of all prompts.
    """

    images: NDArray[np.uint16]
    targets: NDArray[Any]
    volume: NDArray[np.int64]
    index: NDArray[np.int64]
    count: NDArray[np.int64]
    values: tuple[int, ...]
    plane: Plane
    modality: str
    target_window: Window

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def shelf(self) -> PromptIndex:
        """What a strategy may look at."""
        return PromptIndex(self.volume, self.index, self.count, thumbnails(self.images))

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Which classes each slice shows (m, K)."""
        found = np.zeros((len(self), len(self.values) + 1), bool)
        if self.values:
            for row, numbers in zip(found, self.targets, strict=True):
                row[np.unique(numbers)] = True
        return found[:, 1:]

    def shows(self, at: Sequence[int]) -> NDArray[np.bool_]:
        """Which classes occur in any of these slices (K,)."""
        return np.asarray(self.present[list(at)].any(axis=0))

    def image(self, at: Sequence[int]) -> NDArray[np.float32]:
        """Images (n, s, s) in [0, 1]."""
        return np.asarray(self.images[list(at)], np.float32) / np.float32(_FULL_SCALE)

    def some(self, which: slice | NDArray[Any]) -> "PromptSet":
        """These slices alone."""
        parts = (self.images, self.targets, self.volume, self.index, self.count)
        images, targets, volume, index, count = (np.ascontiguousarray(part[which]) for part in parts)
        return replace(self, images=images, targets=targets, volume=volume, index=index, count=count)

    def with_volume(
        self, images: NDArray[np.float32], numbers: NDArray[np.uint8], index: NDArray[np.int64], count: int
    ) -> "PromptSet":
        """One more volume behind the others: slices (n, s, s) in [0, 1] with their class numbers, the `index`-th of
        `count`.
        """
        last = int(self.volume.max()) + 1
        return replace(
            self,
            images=np.concatenate([self.images, _stored(images)]),
            targets=np.concatenate([self.targets, numbers]),
            volume=np.concatenate([self.volume, np.full(len(index), last)]),
            index=np.concatenate([self.index, index]),
            count=np.concatenate([self.count, np.full(len(index), count)]),
        )

    def picture(self, at: Sequence[int]) -> NDArray[np.float32]:
        """Picture targets (n, s, s) in [0, 1]."""
        return np.asarray(self.targets[list(at)], np.float32) / np.float32(_FULL_SCALE)


def prepare(
    images: Volumes[Volume],
    targets: Volumes[Volume | LabelMap],
    asked: TaskSpec,
    size: int,
    modality: str | None,
    names: Sequence[str] = (),
    frames: Framing | None = None,
    values: tuple[int, ...] | None = None,
    plane: Plane | None = None,
) -> PromptSet:
    """Cuts prompt volumes and their targets into the slices of a request, holding one pair of volumes at a time.

    `images` and `targets` may be lazy sequences. `modality` "CT" says that intensities are HU, any other that they are
    not; None guesses from the voxels. `frames` puts slices into squares (None: as the task asks); `values` are the
    labels to number (None: all that are found); `plane`: along which volumes are cut (None: along that of most of
    them); single slices are cut along their own. Raises PromptError for no pairs, unequal numbers, unfit targets or
    no label at all; GeometryError for a pair on two grids.
    """
    if len(images) != len(targets) or not len(images):
        raise PromptError(
            f"{len(images)} prompt images and {len(targets)} targets",
            "as many of both, at least one",
            "complete the pairs",
        )
    slices = max(_FEWEST, _BUDGET // (len(images) * size * size * 4))
    found = set[int]()

    def part(number: int, along: Plane | None) -> _Part:
        name = f"'{names[number]}'" if names else str(number + 1)
        pair = _Pair.of(images[number], targets[number], asked, modality, name, along)
        if isinstance(pair.target, LabelMap) and values is None:
            found.update(pair.target.values)  # of the whole map: the squares may lose small ones
        put = frames_for(*pair.slices, size, asked.sampling) if frames is None else frames(number, *pair.slices)
        if asked.sampling == "tiles":
            kept = min(_TILES, slices, len(pair))
            each = max(1, min(_TILES, slices) // kept)
        else:
            kept, each = max(1, _FEWEST // len(put), slices // len(put)), len(put)
        single = 1 in pair.image.shape
        return _Part(pair.plane, single, pair.modality, pair.target_window, *pair.cut(asked, put, kept, each))

    parts = [part(number, plane) for number in range(len(images))]
    most = Counter(one.plane for one in parts).most_common(1)[0][0]
    parts = [one if one.single or one.plane == most else part(number, most) for number, one in enumerate(parts)]
    _, _, modalities, windows, cut_images, cut_targets, index, count = zip(*parts, strict=True)
    counts = [len(piece) for piece in cut_images]
    if asked.target_type == "labels":
        values, joined = _numbered(cut_targets, values or tuple(sorted(found)))
    else:
        values, joined = (), np.concatenate(cut_targets)
    low, high = (float(np.median(edges)) for edges in zip(*((w.low, w.high) for w in windows), strict=True))
    return PromptSet(
        np.concatenate(cut_images),
        joined,
        volume=np.repeat(np.arange(len(counts)), counts),
        index=np.concatenate(index),
        count=np.repeat(count, counts),
        values=values,
        plane=most,
        modality="CT" if "CT" in modalities else modality or "other",
        target_window=Window(low, high),
    )


def frames_for(shape: tuple[int, int], spacing: tuple[float, float], size: int, sampling: str) -> tuple[Frame, ...]:
    """How one slice is put into squares: whole ("whole"), or as overlapping tiles at its own resolution
    ("tiles").
    """
    if sampling == "tiles":
        return Frame.tiles(shape, size, size // _OVERLAP)
    return (Frame.letterbox(shape, spacing, size),)


class _Part(NamedTuple):
    """What one pair of volumes gives: squares (m, s, s), their places (m,) among `length` slices along `plane`."""

    plane: Plane
    single: bool
    modality: str
    target_window: Window
    images: NDArray[np.uint16]
    targets: NDArray[Any]
    places: NDArray[np.int64]
    length: int


@dataclass(frozen=True)
class _Pair:
    """One prompt image and its target on the same grid, and how both are windowed."""

    image: Volume
    target: Volume | LabelMap
    plane: Plane
    modality: str
    window: Window
    target_window: Window

    @classmethod
    def of(
        cls, image: Volume, target: Volume | LabelMap, asked: TaskSpec, modality: str | None, name: str,
        plane: Plane | None,
    ) -> "_Pair":  # fmt: skip
        if not image.same_grid(target, tolerance=0.1):
            raise GeometryError(
                f"prompt {name} has an image of shape {image.shape} and a target of {target.shape} on another grid",
                "image and target with one shape and affine",
                "resample the target onto the image's grid",
            )
        if asked.target_type == "labels" and not isinstance(target, LabelMap):
            target = _as_labels(target, name)
        modality = modality or modality_of(image)
        window = fit_window(image, modality)
        separate = asked.target_type == "image" and not asked.residual
        target_window = fit_window(target, modality_of(target)) if separate else window
        along = image.cut_along(plane or image.plane)
        return cls(image, target, along, modality, window, target_window)

    @property
    def slices(self) -> tuple[tuple[int, int], Spacing]:
        """Shape (rows, cols) and pixel spacing of its slices."""
        return self.image.pictures(self.plane).shape[1:], self.image.pixel_spacing(self.plane)

    def __len__(self) -> int:
        return len(self.image.pictures(self.plane))

    def cut(
        self, asked: TaskSpec, frames: tuple[Frame, ...], slices: int, each: int
    ) -> tuple[NDArray[np.uint16], NDArray[Any], NDArray[np.int64], int]:
        """Images and targets (m, s, s) of at most `slices` slices, of `each` the most telling frames; the squares'
        slices (m,); the number of slices.
        """
        pictures, wanted = self.image.pictures(self.plane), self.target.pictures(self.plane)
        kept = spaced(np.arange(len(pictures)), slices)
        images, targets, index = [], [], []
        for at in kept:
            shown = self.window.apply(pictures[at])
            for frame in _telling(shown, frames, each):
                images.append(_stored(frame.apply(shown)))
                if asked.target_type == "labels":
                    targets.append(frame.apply_labels(wanted[at]))
                else:
                    targets.append(_stored(frame.apply(self.target_window.apply(wanted[at]))))
                index.append(at)
        cut = np.stack(images), np.stack(targets), np.array(index)
        telling = _changed(cut[0], cut[1]) if asked.residual else slice(None)
        return cut[0][telling], cut[1][telling], cut[2][telling], len(pictures)


def _changed(images: NDArray[np.uint16], targets: NDArray[Any]) -> NDArray[np.bool_]:
    """Which squares (m,) have a target that is not the image itself, and so tell what is asked; all if none has."""
    change = np.abs(images.astype(np.int32) - targets).max(axis=(1, 2)) > _GRAY
    return np.asarray(change if change.any() else ~change)


def _as_labels(target: Volume, name: str) -> LabelMap:
    whole = target.voxels.astype(np.int32)
    if not np.array_equal(whole, target.voxels):
        raise PromptError(
            f"the target of prompt {name} holds fractions",
            "whole numbers as labels",
            "name the task if it is no segmentation",
        )
    return LabelMap(whole, target.affine)


def _numbered(labels: Sequence[NDArray[Any]], values: tuple[int, ...]) -> tuple[tuple[int, ...], NDArray[np.uint8]]:
    """The label values, and all labels as class numbers 0..K, others as 0."""
    found = {int(value) for piece in labels for value in np.unique(piece)} - {0}
    if not 0 < len(values) <= MOST_CLASSES:
        action = "ask for fewer, or name the task if it is no segmentation" if values else "add prompts that show some"
        raise PromptError(f"{len(values)} label values other than 0 in the prompts", f"1 to {MOST_CLASSES}", action)
    known = np.array(sorted({0, *values, *found}))
    numbers = np.array([values.index(int(value)) + 1 if value in values else 0 for value in known], np.uint8)
    return values, np.concatenate([numbers[np.searchsorted(known, piece)] for piece in labels])


def _telling(picture: NDArray[Any], frames: tuple[Frame, ...], most: int) -> list[Frame]:
    """The frames with the most structure in them."""
    if len(frames) <= most:
        return list(frames)
    return sorted(frames, key=lambda frame: -float(picture[frame.source.index].std()))[:most]


def _stored(picture: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.asarray(np.rint(picture * _FULL_SCALE), np.uint16)
