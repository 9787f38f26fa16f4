"""Samples that learnt fusion is fitted to: volumes with slices annotated at random, and what is known of all others."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvg.data.case import Card, Case
from mvg.imaging.frame import Frame
from mvg.imaging.volume import Plane, Volume
from mvg.model.generalist import Generalist
from mvg.prediction.annotated_frame import annotated_frame
from mvg.prediction.inference.evidence import AnnotatedSquare, SliceStack, VolumeScale
from mvg.prediction.inference.query_volume import QueryFeatures, QueryVolume
from mvg.prediction.inference.same_volume import SameVolume
from mvg.prediction.prompts.pairs import channels_first, windows_of
from mvg.prediction.slice_plane import SlicePlane
from mvg.tasks.case_pair import CaseFiles, thinned

_LABELED_SLICES = 24  # of a volume, at most; longer ones are thinned
_FEWEST = 4  # labeled slices of a volume that serves
_BEYOND = 5  # slices on each side of the labels
_COUNTS = (1, 1, 2, 3, 3, 4, 5, 6, 8, 9)  # annotated slices, drawn from these
_EMPTY_FRACTION = 0.2  # of the samples also have an annotated slice without labels
_EVEN_FRACTION = 0.5  # of the samples have about evenly spaced annotated slices
_WHOLE_FRACTION = 0.15  # of the samples show whole slices where a session would magnify


@dataclass(frozen=True, eq=False)
class FusionSample:
    """A stack of slices, the annotated ones among them, and the true class numbers (n, s, s)."""

    stack: SliceStack
    annotated: dict[int, AnnotatedSquare]
    truth: NDArray[np.uint8]

    @property
    def classes(self) -> list[int]:
        """The classes that an annotated slice holds, from 0 on."""
        numbers = [np.unique(square.numbers) for square in self.annotated.values()]
        return [int(number) - 1 for number in np.unique(np.concatenate(numbers)) if number]


@dataclass(frozen=True, eq=False)
class LabeledVolume:
    """A volume along its plane: slices (n, i, rows, cols), and class numbers (n, rows, cols)."""

    volume: Volume
    plane: Plane
    slices: NDArray[np.float32]
    numbers: NDArray[np.uint8]
    modality: str

    @classmethod
    def read(cls, card: Card, case: Case, rng: np.random.Generator) -> "LabeledVolume | None":
        """One channel of a case; None where too few slices are labeled."""
        files = CaseFiles(case, card)
        labels, image = files.labels(), files.image(int(rng.integers(len(case.images))))
        if labels is None:
            return None
        plane = image.plane
        labeled = int((labels.pictures(plane) != 0).any(axis=(1, 2)).sum())
        if labeled < _FEWEST:
            return None
        count = -(-len(labels.pictures(plane)) // max(1, -(-labeled // _LABELED_SLICES)))
        image, labels = thinned(image, plane, count), thinned(labels, plane, count)
        values = np.array([0, *labels.values])
        numbers = np.searchsorted(values, labels.pictures(plane)).astype(np.uint8)
        modality = "CT" if card.units == "HU" else "other"
        return cls(image, plane, channels_first(image.pictures(plane)), numbers, modality)

    @property
    def labeled(self) -> NDArray[np.int64]:
        """The numbers of the slices that hold a label."""
        return np.flatnonzero(self.numbers.any(axis=(1, 2)))


def draw_samples(
    model: Generalist, volume: LabeledVolume, count: int, rng: np.random.Generator
) -> Iterator[FusionSample]:
    """Up to `count` samples of a volume, each with other annotated slices."""
    for _ in range(count):
        annotated = _annotated_numbers(volume, rng)
        if volume.numbers[annotated].any():
            yield _sample(model, volume, annotated, whole=rng.random() < _WHOLE_FRACTION)


def _annotated_numbers(volume: LabeledVolume, rng: np.random.Generator) -> list[int]:
    """Slices that a user might annotate: about evenly spaced or anywhere, seldom also one beyond the labels."""
    labeled = volume.labeled
    first, last = int(labeled[0]), int(labeled[-1])
    count = max(1, min(int(rng.choice(_COUNTS)), len(labeled) - 2))
    if rng.random() < _EVEN_FRACTION:
        ends = (rng.uniform(0, 0.12), 1 - rng.uniform(0, 0.12))
        shares = np.array([rng.uniform(0.25, 0.75)]) if count == 1 else np.linspace(*ends, count)
        shares = shares + rng.uniform(-0.4, 0.4, count) / max(count, 2)
        chosen = {int(np.clip(round(first + share * (last - first)), first, last)) for share in shares.tolist()}
    else:
        chosen = set(rng.choice(labeled, count, replace=False).tolist())
    beyond = [n for n in _near(volume) if not first <= n <= last]
    if beyond and rng.random() < _EMPTY_FRACTION:
        chosen.add(int(rng.choice(beyond)))
    return sorted(chosen)


def _near(volume: LabeledVolume) -> range:
    labeled = volume.labeled
    return range(max(0, int(labeled[0]) - _BEYOND), min(len(volume.numbers), int(labeled[-1]) + _BEYOND + 1))


def _sample(model: Generalist, volume: LabeledVolume, annotated: list[int], whole: bool) -> FusionSample:
    size, spacing = model.config.size, volume.volume.pixel_spacing(volume.plane)
    shape = (int(volume.numbers.shape[1]), int(volume.numbers.shape[2]))
    frame = (
        Frame.letterbox(shape, spacing, size) if whole else annotated_frame(volume.numbers[annotated], spacing, size)
    )
    query = QueryVolume(volume.slices, volume.plane, windows_of(volume.volume, volume.modality), (frame,))
    scale = VolumeScale.of(SlicePlane(volume.volume, volume.plane), frame)
    engine = SameVolume(QueryFeatures(model, query), int(volume.numbers.max()), scale)
    engine.annotate({number: volume.numbers[number] for number in annotated})
    stack, squares = engine.evidence_of(list(_near(volume)))
    truth = np.stack([frame.apply_labels(volume.numbers[number]) for number in stack.numbers])
    return FusionSample(stack, squares, truth.astype(np.uint8))
