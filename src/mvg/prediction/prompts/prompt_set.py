"""The prompt slices of a task: windowed, framed and in 16 bit, as a task file holds them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import PromptError
from mvg.imaging.coloring import MOST_CLASSES
from mvg.imaging.pose import Pose
from mvg.imaging.stated_modality import states_other_than_ct
from mvg.imaging.volume import Plane, Volume
from mvg.imaging.window import CT_WINDOW, FULL_SCALE, Window, as_stored, guess_modality
from mvg.prediction.prompts.cutting import SliceLayout, VolumeSlices, cut_pair
from mvg.prediction.prompts.pairs import PairReader
from mvg.prediction.prompts.scan_facts import ScanFacts
from mvg.prediction.selection.retrieval import PromptIndex, thumbnails
from mvg.tasks import TaskSpec

_TABLE = 2**16  # label values below it are numbered by a table


@dataclass(frozen=True, eq=False)
class PromptSet:
    """The m prompt slices of a task.

    images (m, i, s, s) uint16, [0, 1] scaled to 65535; targets (m, s, s): uint8 class numbers (0 is background, 1..K
    in the order of `values`) or, without values, uint16 pictures; volume, index, count (m,): see `PromptIndex`.
    values: the K label values; plane: along which volumes are cut; modality: "CT" when intensities are HU, else
    "other" or what the user named; target_window: raw intensities of a picture target, the median over the prompts.
    ct_window: through which CT was scaled, so queries must be; images of other modalities have percentiles. pose: after
    which the axes of queries are named; scans: the facts of each image; older task files have neither.
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
    ct_window: Window = CT_WINDOW
    pose: Pose | None = None
    scans: tuple[ScanFacts, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def has_labels(self) -> bool:
        """Whether targets are class numbers; else they are pictures."""
        return bool(self.values)

    @cached_property
    def retrieval_index(self) -> PromptIndex:
        """What a strategy compares, without features of a model."""
        return PromptIndex(self.volume, self.index, self.count, thumbnails(self.images[:, 0]))

    @cached_property
    def classes(self) -> NDArray[np.bool_]:
        """Which classes each slice holds (m, K)."""
        present = np.zeros((len(self), len(self.values) + 1), bool)
        if self.has_labels:
            for row, numbers in zip(present, self.targets, strict=True):
                row[np.unique(numbers)] = True
        return present[:, 1:]

    def modality_of(self, query: Volume) -> str:
        """The modality of a query: that of the prompts; a guess where they may be parts of CT, without any air."""
        may_be_ct = self.modality == "other" and (not self.scans or any(scan.low < 0 for scan in self.scans))
        may_be_ct = may_be_ct and not states_other_than_ct(query)
        return guess_modality(query.voxels) if may_be_ct else self.modality

    def posed(self, volume: Volume) -> Volume:
        """A volume with its axes named as those of the prompts, so that it is cut along the same plane."""
        return volume if self.pose is None else self.pose.apply(volume)

    def classes_in(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Which classes occur in any of these slices (K,)."""
        return np.asarray(self.classes[list(indices)].any(axis=0))

    def image_batch(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """Images (n, i, s, s) in [0, 1]."""
        return np.asarray(self.images[list(indices)], np.float32) / np.float32(FULL_SCALE)

    def picture_batch(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """Picture targets (n, s, s) in [0, 1]."""
        return np.asarray(self.targets[list(indices)], np.float32) / np.float32(FULL_SCALE)

    def subset(self, which: slice | NDArray[Any]) -> "PromptSet":
        """Some of the slices."""
        parts = (self.images, self.targets, self.volume, self.index, self.count)
        images, targets, volume, index, count = (np.ascontiguousarray(part[which]) for part in parts)
        return replace(self, images=images, targets=targets, volume=volume, index=index, count=count)

    def joined(self, other: "PromptSet") -> "PromptSet":
        """The volumes of another set with the same values and plane after those of this one."""
        assert (self.values, self.plane) == (other.values, other.plane), "sets of one task"
        return replace(
            self,
            images=np.concatenate([self.images, other.images]),
            targets=np.concatenate([self.targets, other.targets]),
            volume=np.concatenate([self.volume, other.volume + int(self.volume.max()) + 1]),
            index=np.concatenate([self.index, other.index]),
            count=np.concatenate([self.count, other.count]),
            scans=self.scans + other.scans,
        )

    def with_volume(
        self, images: NDArray[np.float32], numbers: NDArray[np.uint8], index: NDArray[np.int64], count: int
    ) -> "PromptSet":
        """One more volume after the others: slices (n, i, s, s) in [0, 1] and class numbers (n, s, s).

        index (n,): their numbers among the volume's `count` slices.
        """
        number = int(self.volume.max()) + 1
        return replace(
            self,
            images=np.concatenate([self.images, as_stored(images)]),
            targets=np.concatenate([self.targets, numbers]),
            volume=np.concatenate([self.volume, np.full(len(index), number)]),
            index=np.concatenate([self.index, index]),
            count=np.concatenate([self.count, np.full(len(index), count)]),
        )


def prepare(reader: PairReader, layout: SliceLayout) -> PromptSet:
    """Cut prompt pairs into the slices of a task.

    Raises PromptError for no pairs, unequal numbers of images and targets, unfit targets or no label at all, and what
    the reader raises.
    """
    _check_numbers(reader)
    return _joined(_cut_all(reader, layout), reader, layout)


def prepare_frames(reader: PairReader, layout: SliceLayout, count: int) -> Iterator[PromptSet]:
    """As `prepare`, a set of its own for each of the `count` frames of a layout; volumes are read once for all."""
    _check_numbers(reader)
    cut = _cut_all(reader, layout)
    for number in range(count):
        yield _joined([volume.every(count, number) for volume in cut], reader, layout)


def _joined(cut: list[VolumeSlices], reader: PairReader, layout: SliceLayout) -> PromptSet:
    plane = _main_plane(cut)
    values, targets = _numbered_targets(cut, reader.spec, layout.values)
    windows = [volume.target_window for volume in cut]
    low, high = (float(np.median(edges)) for edges in zip(*((w.low, w.high) for w in windows), strict=True))
    squares = [len(volume.images) for volume in cut]
    return PromptSet(
        np.concatenate([volume.images for volume in cut]),
        targets,
        volume=np.repeat(np.arange(len(cut)), squares),
        index=np.concatenate([volume.index for volume in cut]),
        count=np.repeat([volume.count for volume in cut], squares),
        values=values,
        plane=plane,
        modality=reader.intensities.modality,
        target_window=Window(low, high),
        ct_window=reader.intensities.ct_window,
        pose=reader.pose,
        scans=tuple(volume.scan for volume in cut),
    )


def _check_numbers(reader: PairReader) -> None:
    images, targets = len(reader.pairs.images), len(reader.pairs.targets)
    if images != targets or not images:
        raise PromptError(
            f"{images} prompt images and {targets} targets", "as many of both, at least one", "complete the pairs"
        )


def _cut_all(reader: PairReader, layout: SliceLayout) -> list[VolumeSlices]:
    """All pairs with annotated slices along one plane; PromptError where there are none."""
    volumes = {number: cut_pair(reader, layout, number, layout.plane) for number in range(len(reader))}
    cut = {number: volume for number, volume in volumes.items() if volume is not None}
    plane = _main_plane(list(cut.values())) if cut else None
    for number, volume in list(cut.items()):
        if not volume.scan.single and volume.scan.plane != plane:
            again = cut_pair(reader, layout, number, plane)
            if again is None:
                del cut[number]
            else:
                cut[number] = again
    reader.leave_out(number for number in range(len(reader)) if number not in cut)
    if not cut:
        raise PromptError(
            "no prompt with a slice that was annotated: all labels are marked as unknown",
            "a slice with labels in at least one prompt",
            "annotate a slice, or correct the queries themselves (mvg predict --corrections)",
        )
    return list(cut.values())


def _main_plane(cut: list[VolumeSlices]) -> Plane:
    return Counter(volume.scan.plane for volume in cut).most_common(1)[0][0]


def _numbered_targets(
    cut: list[VolumeSlices], spec: TaskSpec, values: tuple[int, ...] | None
) -> tuple[tuple[int, ...], NDArray[Any]]:
    """The label values and all labels as class numbers 0..K; for pictures no values, and the pictures."""
    targets = [volume.targets for volume in cut]
    if spec.target_type != "labels":
        return (), np.concatenate(targets)
    if values is None:  # of the whole volumes: squares may lose small labels
        values = tuple(sorted({value for volume in cut for value in volume.values}))
    if not 0 < len(values) <= MOST_CLASSES:
        action = (
            "ask for fewer, or name the task if it is not a segmentation" if values else "add prompts that show some"
        )
        raise PromptError(f"{len(values)} label values other than 0 in the prompts", f"1 to {MOST_CLASSES}", action)
    known = np.array(sorted({0, *values, *(int(value) for target in targets for value in np.unique(target))}))
    numbers = np.array([values.index(int(value)) + 1 if value in values else 0 for value in known], np.uint8)
    if known[0] >= 0 and known[-1] < _TABLE:  # a table takes a tenth of the time of a search
        table = np.zeros(known[-1] + 1, np.uint8)
        table[known] = numbers
        return values, np.concatenate([table[target] for target in targets])
    return values, np.concatenate([numbers[np.searchsorted(known, target)] for target in targets])
