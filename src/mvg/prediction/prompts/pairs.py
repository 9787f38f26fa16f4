"""Prompt pairs as users give them, read and windowed once each."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.errors import PromptError
from mvg.imaging.folder import listed
from mvg.imaging.frame import Spacing
from mvg.imaging.intensity import finite_sample, hounsfield_offset
from mvg.imaging.pose import Pose
from mvg.imaging.stated_modality import stated_modality
from mvg.imaging.volume import LabelMap, Plane, Volume, luminance
from mvg.imaging.window import CT_WINDOW, Window, guess_modality, is_ct
from mvg.prediction.prompts.annotation import AnnotatedLabels
from mvg.prediction.prompts.ct_window import choose_ct_window
from mvg.prediction.prompts.header_notes import HeaderNotes
from mvg.prediction.prompts.target_grid import on_grid
from mvg.tasks import TaskSpec

_KEPT_BYTES = 2**30  # volumes beyond this are read again when they are needed again
_COLORS = 3  # red, green and blue

_Grid = TypeVar("_Grid", bound=Volume | LabelMap, covariant=True)


@runtime_checkable
class Volumes(Protocol[_Grid]):
    """Several volumes: a list or tuple, or a sequence that reads each volume when it is indexed."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> _Grid: ...


@dataclass(frozen=True, eq=False)
class PromptPairs:
    """Example pairs: one target per image, on the same grid.

    names: of the pairs, for messages. modality: "CT" or anything else, of prompts and queries; None guesses from the
    voxels. ct_window: for CT; None for the one that shows the labels, see `choose_ct_window`.
    """

    images: Volumes[Volume]
    targets: Volumes[Volume | LabelMap]
    names: Sequence[str] = ()
    modality: str | None = None
    ct_window: Window | None = None

    def __len__(self) -> int:
        return len(self.images)

    def name(self, number: int) -> str:
        """The pair's name, or its number from 1 on."""
        return f"'{self.names[number]}'" if self.names else str(number + 1)


@dataclass(frozen=True)
class Intensities:
    """How all images of a task are windowed: by `ct_window` for the modality "CT", else by percentiles of each."""

    modality: str
    ct_window: Window = CT_WINDOW


@dataclass(frozen=True, eq=False)
class WindowedPair:
    """One image and its target on the same grid, and the windows that take both to [0, 1].

    windows: one per input channel of the image; target_window: of a picture target, None for labels; annotated: where
    labels are known, None for pictures.
    """

    image: Volume
    target: Volume | LabelMap
    windows: tuple[Window, ...]
    target_window: Window | None
    annotated: AnnotatedLabels | None = None

    @property
    def plane(self) -> Plane:
        """The plane of its slices: the image's, or another one if only that has annotated slices."""
        return self.image.plane if self.annotated is None else self.annotated.best_plane(self.image.plane)

    def slices(self, plane: Plane) -> NDArray[np.int64]:
        """The numbers of the slices along a plane that can be prompts."""
        if self.annotated is None:
            return np.arange(len(self.image.pictures(plane)))
        whole = self.annotated.slices(plane)
        return whole if len(whole) else self.annotated.drawn_slices(plane)

    def labels(self, plane: Plane, number: int, picture: NDArray[np.float32]) -> NDArray[np.integer]:
        """The labels of a slice; where it was annotated in part, those follow the windowed `picture` (rows, cols)."""
        assert self.annotated is not None, "only for labels"
        return self.annotated.completed(plane, number, picture)

    def geometry(self, plane: Plane) -> tuple[tuple[int, int], Spacing]:
        """The shape (rows, cols) and the pixel spacing of its slices."""
        rows, cols = channels_first(self.image.pictures(plane)).shape[-2:]
        return (rows, cols), self.image.pixel_spacing(plane)


_Pair = tuple[Volume, Volume | AnnotatedLabels]


@dataclass(eq=False)
class PairReader:
    """Reads each pair once and keeps it while memory allows; a sequence of WindowedPair.

    inputs: how many images the model takes, see `fit_channels`. Indexing raises GeometryError for a pair on two grids,
    PromptError for a target or for channels that do not fit the task.
    """

    pairs: PromptPairs
    spec: TaskSpec
    inputs: int = 1
    budget: int = _KEPT_BYTES
    _kept: dict[int, _Pair] = field(default_factory=dict)
    _partial: set[int] = field(default_factory=set)
    _left_out: set[int] = field(default_factory=set)
    _notes: HeaderNotes = field(default_factory=HeaderNotes)
    _checked: set[int] = field(default_factory=set)
    _windows: dict[int, tuple[tuple[Window, ...], Window | None]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> WindowedPair:
        image, target = self._pair(number)
        if number not in self._windows:
            windows = windows_of(image, self.intensities.modality, self.intensities.ct_window)
            self._windows[number] = windows, self._target_window(target, windows[0])
        if isinstance(target, AnnotatedLabels):
            return WindowedPair(image, target.labels, *self._windows[number], target)
        return WindowedPair(image, target, *self._windows[number])

    @cached_property
    def intensities(self) -> Intensities:
        """One rule for all pairs: CT where the user says so, or where one image is in HU."""
        modality, window = self.pairs.modality, self.pairs.ct_window
        if modality is None:
            guesses = (_guess(self._pair(number)[0]) for number in range(len(self)))
            modality = next((guess for guess in guesses if is_ct(guess)), "other")
        if window is None:
            window = choose_ct_window(self._labeled_ct()) if is_ct(modality) else CT_WINDOW
        return Intensities(modality, window)

    def leave_out(self, numbers: Iterable[int]) -> None:
        """Remember pairs that are not used, because none of their slices was annotated."""
        self._left_out |= set(numbers)

    def report_annotation(self) -> None:
        """Write lines to the logger "mvg" about prompts and slices that are not used: nobody annotated them."""
        if self._left_out:
            names = listed([self.pairs.name(number) for number in sorted(self._left_out)])
            message = "%d of %d prompts are left out, because no slice of them was annotated as the others are: %s"
            logging.getLogger("mvg").warning(message, len(self._left_out), len(self), names)
        partial = self._partial - self._left_out
        if not partial:
            return
        pair = self[min(partial)]
        used, total = len(pair.slices(pair.plane)), len(pair.image.pictures(pair.plane))
        logging.getLogger("mvg").warning(
            "%d of %d prompts were annotated in part: of prompt %s, the %d of %d slices that show labels are used",
            len(partial), len(self), self.pairs.name(min(partial)), used, total,
        )  # fmt: skip

    @cached_property
    def pose(self) -> Pose:
        """That of the first image, after which the axes of the others are named."""
        return Pose.of(self._pair(0)[0])

    def _labeled_ct(self) -> Iterator[tuple[Volume, LabelMap, float]]:
        """The pairs with labels whose offset to HU is known, and that offset."""
        if self.spec.target_type != "labels":
            return
        for number in range(len(self)):
            image, target = self._pair(number)
            offset = hounsfield_offset(finite_sample(first_channel(image)))
            if offset is not None and isinstance(target, AnnotatedLabels):
                yield image, target.labels, offset

    def _pair(self, number: int) -> _Pair:
        if number not in self._kept:
            pair = self._read(number)
            kept = sum(_nbytes(*each) for each in (*self._kept.values(), pair))
            if kept > self.budget:
                return pair
            self._kept[number] = pair
        return self._kept[number]

    def _read(self, number: int) -> _Pair:
        image, target, name = self.pairs.images[number], self.pairs.targets[number], self.pairs.name(number)
        image = fit_channels(image, self.inputs, f"the image of prompt {name}")
        target = on_grid(target, image, name)
        if number not in self._checked:  # pairs beyond the budget are read several times
            self._checked.add(number)
            self._notes.check(image, target, name)
        image = self.pose.apply(image) if number else image
        target = target if image.orientation is None else replace(target, orientation=image.orientation)
        if self.spec.target_type == "labels":
            if self.spec.erases:
                return image, AnnotatedLabels.of(kept_pixels(target))
            labels = AnnotatedLabels.of(target if isinstance(target, LabelMap) else _as_labels(target, name))
            if labels.known is not None:
                self._partial.add(number)
            return image, labels
        return image, Volume(target.voxels, target.affine, target.header, target.orientation)

    def _target_window(self, target: Volume | AnnotatedLabels, window: Window) -> Window | None:
        """A residual target shares the image's window; other pictures have a window of their own."""
        if isinstance(target, AnnotatedLabels):
            return None
        return window if self.spec.residual else Window.fit(target.voxels, guess_modality(target.voxels))


def _guess(image: Volume) -> str:
    """The modality that the image's file states, else a guess."""
    return stated_modality(image) or guess_modality(image.voxels)


def _nbytes(image: Volume, target: Volume | AnnotatedLabels) -> int:
    return int(image.voxels.nbytes) + (target.nbytes if isinstance(target, AnnotatedLabels) else target.voxels.nbytes)


def fit_channels(image: Volume, inputs: int, name: str) -> Volume:
    """The image with as many channels as the model takes images: a picture in color becomes its luminance for one.

    Raises PromptError, which names the image, for another number of channels.
    """
    if image.channels == inputs:
        return image
    if inputs == 1 and image.channels == _COLORS:
        logging.getLogger("mvg").warning("%s has colors; its luminance is used", name)
        return luminance(image)
    raise PromptError(
        f"{name} has {image.channels} channels",
        f"{inputs}, as many as the weights take",
        "hand over as many channels, or choose other weights",
    )


def windows_of(image: Volume, modality: str, ct_window: Window | None = None) -> tuple[Window, ...]:
    """The windows of an image, one per channel: `ct_window` for CT (None: soft tissue), else percentiles.

    Prompts, queries and training use the same rule.
    """
    if image.channels == 1:
        return (Window.fit(image.voxels, modality, ct_window),)
    return tuple(
        Window.fit(image.voxels[..., channel], modality, ct_window) for channel in range(image.voxels.shape[-1])
    )


def first_channel(image: Volume) -> NDArray[np.float32]:
    """The voxels (X, Y, Z) of the first channel."""
    return image.voxels if image.channels == 1 else image.voxels[..., 0]


def channels_first(slices: NDArray[np.float32]) -> NDArray[np.float32]:
    """Slices (n, rows, cols) or (n, i, rows, cols) as (n, i, rows, cols)."""
    return slices[:, None] if slices.ndim == 3 else slices


def kept_pixels(target: Volume | LabelMap) -> LabelMap:
    """1 where a picture with erased parts is not black, and in the holes of its slices."""
    slices = np.asarray(target.pictures(target.plane))
    kept = np.stack([ndimage.binary_fill_holes(picture > slices.min()) for picture in slices]).astype(np.uint8)
    voxels = target.from_pictures(kept, target.plane).voxels
    return LabelMap(voxels, target.affine, target.header, target.orientation)


def _as_labels(target: Volume, name: str) -> LabelMap:
    whole = target.voxels.astype(np.int32)
    if not np.array_equal(whole, target.voxels):
        raise PromptError(
            f"the target of prompt {name} holds fractions",
            "whole numbers as labels",
            "name the task if it is not a segmentation",
        )
    return LabelMap(whole, target.affine, orientation=target.orientation)
