"""Prompts from a folder: the nnU-Net raw layout, or `images/` and `targets/` with equal names."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from mvg.data.case import Card, Case, DataSet
from mvg.data.case_labels import prepared_labels
from mvg.data.sets import nnunet
from mvg.errors import FileError, MvgError, PromptError, UnknownNameError
from mvg.imaging.files import read_gray, read_labels, segment_names, stem_of
from mvg.imaging.folder import files_by_name, listed
from mvg.imaging.segment_numbers import SegmentNumbers
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.prompts.channels import read_channels
from mvg.prediction.prompts.label_maps import label_map
from mvg.prediction.prompts.notes import Notes
from mvg.prediction.prompts.partners import check_partners
from mvg.prediction.prompts.stored_ct import is_stored_ct
from mvg.prediction.prompts.task_choice import task_spec, unnamed_task
from mvg.tasks import spec_of

_LABELS_TASK = "segmentation"  # without a name, label maps as targets mean this task
_UNNAMED = "'%s' holds labels that dataset.json does not name: %s; they are predicted as the others are"
_GUESSED_TASK = "synthesis"  # a card without a task names this one for its target pictures

_VolumeT = TypeVar("_VolumeT", bound=Volume | LabelMap)


class VolumeFiles(Generic[_VolumeT]):
    """Volumes that are read when they are indexed; none is kept."""

    def __init__(self, paths: Sequence[Path], reader: Callable[[Path], _VolumeT]) -> None:
        self.paths, self._reader = tuple(paths), reader

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> _VolumeT:
        return self._reader(self.paths[number])

    def with_progress(self, progress: Callable[[int, int], None]) -> "VolumeFiles[_VolumeT]":
        """The same files; `progress(number, total)` is called before each is read, and after the last one."""
        numbers = {path: number for number, path in enumerate(self.paths)}

        def read_and_report(path: Path) -> _VolumeT:
            progress(numbers[path], len(numbers))
            volume = self._reader(path)
            if numbers[path] + 1 == len(numbers):
                progress(len(numbers), len(numbers))
            return volume

        return VolumeFiles(self.paths, read_and_report)


@dataclass(frozen=True)
class PromptFolder:
    """The pairs of a prompt folder for one task.

    images, targets: one target per image, read when indexed; names: of the pairs, for messages; task: the kind.
    modality: as the folder states it, "CT" for HU, else None; channel: the image channel that is used, "" if there is
    only one; label_names: of label values, where the folder states them; patients: of the pairs, likewise.
    """

    images: VolumeFiles[Volume]
    targets: VolumeFiles[Volume] | VolumeFiles[LabelMap]
    names: tuple[str, ...]
    task: str
    modality: str | None = None
    channel: str = ""
    label_names: Mapping[int, str] = field(default_factory=dict)
    patients: tuple[str, ...] = ()


def open_prompts(folder: Path, task: str | None = None, queries: Sequence[Path] = (), inputs: int = 1) -> PromptFolder:
    """Find the pairs in a folder and the task that they show.

    task: "KIND", or with channels (names or numbers) "KIND:CHANNEL" or "KIND:CHANNEL->CHANNEL"; None infers it: integer
    targets are a segmentation. Without a CHANNEL the one in the names of all `queries` (scan_0001.nii.gz) is used, else
    the first; weights with several `inputs` get all channels from the first on. Raises FileError, PromptError and
    UnknownNameError, which name the possible choices.
    """
    folder = Path(folder)
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "no folder"
        raise FileError(f"{kind} '{folder}'", "a folder with prompts", "check the path")
    if task is not None:
        task_spec(task)
    if nnunet.recognizes(folder):
        return _with_modality(_NnunetFolder(folder, nnunet.open(folder), inputs).pairs(task, queries), queries)
    if (folder / "images").is_dir() and (folder / "targets").is_dir():
        return _with_modality(_pairs_by_name(folder, task, inputs), queries)
    raise PromptError(
        f"'{folder}' has neither imagesTr/ nor images/ and targets/",
        "the nnU-Net raw layout (imagesTr/CASE_0000.*, labelsTr/CASE.*), or images/ and targets/ with equal names",
        "arrange the prompts in one of these ways",
    )


def _with_modality(folder: PromptFolder, queries: Sequence[Path]) -> PromptFolder:
    """The folder with the modality "CT" where a query shows that its images are CT stored with an offset."""
    if folder.modality is None and queries and is_stored_ct(folder.images.paths[0], queries[0]):
        return replace(folder, modality="CT")
    return folder


@dataclass(frozen=True)
class _NnunetFolder:
    """A folder in the nnU-Net raw layout."""

    folder: Path
    data: DataSet
    inputs: int

    @property
    def channels(self) -> tuple[str, ...]:
        return self.data.card.channels

    @property
    def labeled(self) -> list[Case]:
        return [case for case in self.data.cases if case.labels is not None]

    @property
    def paired(self) -> list[Case]:
        return [case for case in self.data.cases if case.target is not None]

    def pairs(self, task: str | None, queries: Sequence[Path]) -> PromptFolder:
        kind, _, detail = (task or self._inferred_task()).partition(":")
        spec = spec_of(kind)
        is_synthesis = spec.target_type == "image" and not spec.residual
        if is_synthesis and ("->" in detail or not self.paired):
            return self._between_channels(kind, detail)
        channel = _channel(detail, self.channels) if detail else _channel_of(queries, len(self.channels))
        if spec.target_type == "labels":
            return self._with_labels(kind, channel)
        cases = self._required(self.paired, "targetsTr", kind)
        targets = VolumeFiles([case.target for case in cases if case.target], read_gray)
        return self._prompt_folder(cases, targets, kind, channel)

    def _with_labels(self, kind: str, channel: int) -> PromptFolder:
        cases = self._required(self.labeled, "labelsTr", kind)
        case_of = {case.labels: case for case in cases if isinstance(case.labels, Path)}

        notes = Notes()

        def read_annotated(path: Path) -> LabelMap:
            labels = prepared_labels(read_labels(path), case_of[path], self.data.card)
            unnamed = [str(value) for value in labels.values if value not in self.data.card.labels]
            if unnamed:
                notes.once(_UNNAMED, path.name, listed(unnamed))
            return labels

        targets = VolumeFiles(list(case_of), read_annotated)
        return self._prompt_folder(cases, targets, kind, channel)

    def _between_channels(self, kind: str, detail: str) -> PromptFolder:
        source, target = _two_channels(kind, detail, self.channels)
        targets = VolumeFiles([case.images[target] for case in self.data.cases], read_gray)
        prompts = self._prompt_folder(list(self.data.cases), targets, kind, source)
        return replace(prompts, channel=self.channels[source])

    def _prompt_folder(
        self, cases: list[Case], targets: VolumeFiles[Volume] | VolumeFiles[LabelMap], kind: str, channel: int
    ) -> PromptFolder:
        images = VolumeFiles([case.images[channel] for case in cases], partial(read_channels, inputs=self.inputs))
        names = tuple(case.name for case in cases)
        name = self.channels[channel] if len(self.channels) > 1 else ""
        card = self.data.card
        patients = tuple(case.patient for case in cases)
        return PromptFolder(images, targets, names, kind, _modality(card, channel), name, card.labels, patients)

    def _inferred_task(self) -> str:
        if self.labeled:
            return _LABELS_TASK
        if self.paired and self.data.card.image_task != _GUESSED_TASK:
            return self.data.card.image_task
        raise unnamed_task(f"prompts in '{self.folder}' without labels")

    def _required(self, cases: list[Case], subfolder: str, kind: str) -> list[Case]:
        if not cases:
            raise PromptError(
                f"no {subfolder} in '{self.folder}'",
                f"{subfolder}/CASE.* for the task {kind}",
                "add the targets or choose another task",
            )
        self._report_left_out(cases, subfolder)
        return cases

    def _report_left_out(self, cases: list[Case], subfolder: str) -> None:
        """Write a line to the logger "mvg" about images without a target, and targets without an image."""
        names = {case.name for case in self.data.cases}
        without = sorted(names - {case.name for case in cases})
        stems = (stem_of(path) for path in (self.folder / subfolder).iterdir() if not path.name.startswith("."))
        alone = sorted(set(stems) - names)
        if without or alone:
            logging.getLogger("mvg").warning(
                "%d of %d cases of '%s' are left out, without %s/CASE.*: %s%s",
                len(without), len(names), self.folder, subfolder, listed(without) or "none",
                f"; {subfolder} has files of no case: {listed(alone)}" if alone else "",
            )  # fmt: skip


def _modality(card: Card, channel: int) -> str | None:
    """The modality of a channel where the card states it; units and modality are those of the first channel."""
    if card.channels[channel].upper() == "CT":
        return "CT"
    if card.modality in ("CT", "other"):
        return card.modality if card.modality == "CT" and channel == 0 else None
    return card.modality


def _pairs_by_name(folder: Path, task: str | None, inputs: int) -> PromptFolder:
    images, targets = files_by_name(folder / "images"), files_by_name(folder / "targets")
    check_partners(folder, images, targets)
    names = tuple(sorted(images))
    paths = [targets[name] for name in names]
    kind, _, detail = (task or "").partition(":")
    if detail and "->" not in detail:
        raise PromptError(f"'{folder}' has one channel, so none can be named", kind, f"use the task {kind}")
    if task is None:
        picture = next((name for name in names if label_map(targets[name]) is None), None)
        if picture is not None:
            problem = f"targets in '{folder}' that are pictures, not integer labels{_reason(targets[picture])}"
            _check_swapped(folder, images[picture], problem)
            raise unnamed_task(problem)
        kind = _LABELS_TASK
    pictures = VolumeFiles([images[name] for name in names], partial(read_channels, inputs=inputs))
    has_labels = spec_of(kind).target_type == "labels"
    outputs = VolumeFiles(paths, read_labels) if has_labels else VolumeFiles(paths, read_gray)
    label_names = _segment_names(paths) if has_labels else {}
    return PromptFolder(pictures, outputs, names, kind, label_names=label_names)


def _check_swapped(folder: Path, image: Path, problem: str) -> None:
    """Raises PromptError where an image is a label map. problem: that its target is a picture."""
    if label_map(image) is not None:
        raise PromptError(
            f"{problem}, and '{image}' that looks like a label map",
            f"pictures in '{folder / 'images'}' and labels in '{folder / 'targets'}'",
            "swap the two folders, or name the task (--task) if pictures shall be made of labels",
        )


def _segment_names(paths: Sequence[Path]) -> dict[int, str]:
    """The names of segments where targets are DICOM, by the values that they get."""
    segments = SegmentNumbers()
    for path in paths:
        segments.numbered(segment_names(path))
    return segments.names


def _reason(path: Path) -> str:
    """Why a file holds no labels, in brackets; "" where its many values are the only reason."""
    try:
        read_labels(path)
    except MvgError as error:
        return f" ({error.message})"
    return ""


def _channel_of(queries: Sequence[Path], count: int) -> int:
    """The channel in the names of all queries (nnU-Net's suffix), else the first."""
    suffixes = {match.group(1) if (match := re.search(r"_(\d{4})$", stem_of(path))) else "" for path in queries}
    channel = int(suffixes.pop() or 0) if len(suffixes) == 1 else 0
    return channel if channel < count else 0


def _channel(name: str, channels: tuple[str, ...]) -> int:
    name = name.strip()
    if name in channels:
        return channels.index(name)
    if name.isdecimal() and int(name) < len(channels):
        return int(name)
    raise UnknownNameError("channel of these prompts", name, channels)


def _two_channels(kind: str, detail: str, channels: tuple[str, ...]) -> tuple[int, int]:
    source, arrow, target = detail.partition("->")
    if not arrow:
        raise PromptError(
            f"the task {kind} for prompts with the channels {', '.join(channels)}",
            "two channels: of the images, and of the targets",
            f"choose two, for example '{kind}:{channels[0]}->{channels[-1]}'"
            if len(channels) > 1
            else "add targetsTr/ or a second channel",
        )
    return _channel(source, channels), _channel(target, channels)
