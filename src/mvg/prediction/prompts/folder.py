"""Prompts from a folder: the nnU-Net raw layout, or `images/` and `targets/` with equal names."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from mvg.data.case import Card, DataSet
from mvg.data.sets import nnunet
from mvg.errors import FileError, MvgError, PromptError, UnknownNameError
from mvg.imaging.files import read, read_labels, stem_of
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.prompts.task_choice import task_spec, unnamed_task

_FEW = 32  # so few distinct whole numbers are labels, whatever the picture looks like
_BESIDE = (".raw", ".zraw", ".raw.gz")  # voxels of an .mhd or .nhdr of the same name
_FLAT = 0.8  # beyond that, labels are where this share of neighbours inside agrees

_Read = TypeVar("_Read", bound=Volume | LabelMap)


class Files(Generic[_Read]):
    """Volumes that are read when they are asked for, one at a time."""

    def __init__(self, paths: Sequence[Path], reader: Callable[[Path], _Read]) -> None:
        self.paths, self._reader = tuple(paths), reader

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int) -> _Read:
        return self._reader(self.paths[at])

    def watched(self, progress: Callable[[int, int], None]) -> "Files[_Read]":
        """The same files; `progress(number, all)` is called before each is read and, with the last, when all are."""
        known = {path: at for at, path in enumerate(self.paths)}

        def read_and_tell(path: Path) -> _Read:
            progress(known[path], len(known))
            found = self._reader(path)
            if known[path] + 1 == len(known):
                progress(len(known), len(known))
            return found

        return Files(self.paths, read_and_tell)


@dataclass(frozen=True)
class PromptFolder:
    """What a prompt folder offers for one task.

    images, targets: lazy, one target per image; names: of the pairs, for messages; task: a kind of task. modality:
    what the folder says that intensities are, "CT" for HU, else None; channel: which of several image channels serves.
    """

    images: Files[Volume]
    targets: Files[Volume] | Files[LabelMap]
    names: tuple[str, ...]
    task: str
    modality: str | None
    channel: str


def open_prompts(folder: Path, task: str | None = None, queries: Sequence[Path] = ()) -> PromptFolder:
    """Finds the pairs in a folder and what they show.

    task: "KIND", or for several channels "segmentation:CHANNEL" or "synthesis:CHANNEL->CHANNEL" (names or numbers);
    None infers it: integer labels are a segmentation. Without a CHANNEL the one that all `queries` are named after
    (scan_0001.nii.gz), else the first. Raises FileError, PromptError and UnknownNameError, which say what may be asked.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileError(
            f"{'a file' if folder.exists() else 'no folder'} '{folder}'", "a folder with prompts", "check --prompts"
        )
    if task is not None:
        task_spec(task, ())
    if nnunet.recognises(folder):
        return _from_nnunet(nnunet.open(folder), folder, task, queries)
    if (folder / "images").is_dir() and (folder / "targets").is_dir():
        return _from_pairs(folder, task)
    raise PromptError(
        f"'{folder}' has neither imagesTr/ nor images/ and targets/",
        "the nnU-Net raw layout (imagesTr/CASE_0000.*, labelsTr/CASE.*), or images/ and targets/ with equal names",
        "arrange the prompts in one of these ways",
    )


def _from_nnunet(found: DataSet, folder: Path, task: str | None, queries: Sequence[Path]) -> PromptFolder:
    labelled = [case for case in found.cases if case.labels is not None]
    paired = [case for case in found.cases if case.target is not None]
    if task is None:
        if labelled:
            task = "segmentation"
        elif paired and found.card.image_task != "synthesis":  # synthesis is also the guess for unknown targets
            task = found.card.image_task
        else:
            raise unnamed_task(f"prompts in '{folder}' without labels")
    kind, _, what = task.partition(":")
    if kind == "synthesis" and ("->" in what or not paired):
        source, goal = _two_channels(what, found.card.channels)
        images, targets = ([case.images[channel] for case in found.cases] for channel in (source, goal))
        names = tuple(case.name for case in found.cases)
        return PromptFolder(
            Files(images, read),
            Files(targets, read),
            names,
            kind,
            _modality(found.card, source),
            found.card.channels[source],
        )
    channel = _channel(what, found.card.channels) if what else _channel_of(queries, len(found.card.channels))
    cases = labelled if kind == "segmentation" else paired
    if not cases:
        where = "labelsTr" if kind == "segmentation" else "targetsTr"
        raise PromptError(
            f"no {where} in '{folder}'", f"{where}/CASE.* for the task {kind}", "add the targets or choose another task"
        )
    inputs = Files([case.images[channel] for case in cases], read)
    names, modality = tuple(case.name for case in cases), _modality(found.card, channel)
    name = found.card.channels[channel] if len(found.card.channels) > 1 else ""
    if kind == "segmentation":
        labels = [case.labels for case in cases if isinstance(case.labels, Path)]
        return PromptFolder(inputs, Files(labels, _heeding(found.card)), names, kind, modality, name)
    return PromptFolder(inputs, Files([c.target for c in cases if c.target], read), names, kind, modality, name)


def _modality(card: Card, channel: int) -> str | None:
    """What the intensities of a channel are, where the card tells: HU, which are those of the first one, or no CT."""
    if card.units == "HU":
        return None if channel else "CT"
    return None if card.modality in ("CT", "other") else card.modality


def _heeding(card: Card) -> Callable[[Path], LabelMap]:
    """Reads label maps in which some values are nothing to find, as in training."""

    def heed(path: Path) -> LabelMap:
        labels = read_labels(path)
        return replace(labels, voxels=card.with_ignored_as_background(labels.voxels))

    return heed


def _from_pairs(folder: Path, task: str | None) -> PromptFolder:
    images, targets = _by_stem(folder / "images"), _by_stem(folder / "targets")
    if not images or not targets:
        empty = "images" if not images else "targets"
        raise PromptError(f"'{folder / empty}' is empty", "at least one image and its target", "add prompts")
    alone = sorted(set(images) ^ set(targets))
    if alone:
        raise PromptError(
            f"'{folder}' has no partner for {', '.join(alone[:5])}{', ...' if len(alone) > 5 else ''}",
            "the same names in images/ and targets/",
            "add or remove files",
        )
    names = tuple(sorted(images))
    paths = [targets[name] for name in names]
    kind, _, what = (task or "").partition(":")
    if what and "->" not in what:
        raise PromptError(f"the channel '{what}' of '{folder}', which has one", "a kind of task", f"ask for {kind}")
    if task is None:
        if not all(_is_labels(path) for path in paths):
            raise unnamed_task(f"targets in '{folder}' that are pictures, not integer labels")
        kind = "segmentation"
    inputs = Files([images[name] for name in names], read)
    answers = Files(paths, read_labels) if kind == "segmentation" else Files(paths, read)
    return PromptFolder(inputs, answers, names, kind, None, "")


def _by_stem(folder: Path) -> dict[str, Path]:
    """Files, and folders of DICOM series, by name without suffix (and without the channel number 0000)."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.endswith(_BESIDE):
            continue
        stem = stem_of(path).removesuffix("_0000")
        if stem in found:
            raise PromptError(
                f"'{folder}' has both {found[stem].name} and {path.name}", "one file per name", "remove or rename one"
            )
        found[stem] = path
    return found


def _is_labels(path: Path) -> bool:
    """Whether a target is a label map: whole numbers, few of them or in flat regions (8-bit pictures are whole too)."""
    try:
        voxels = read_labels(path).voxels
    except MvgError:
        read(path)  # broken files have their own message
        return False
    distinct = np.unique(voxels)
    if len(distinct) <= _FEW:
        return True
    if len(distinct) > 256 or distinct[0] < 0:
        return False
    here, right = voxels[:-1], voxels[1:]
    inside = (here != 0) | (right != 0)
    return bool(inside.any()) and float((here == right)[inside].mean()) > _FLAT


def _channel_of(queries: Sequence[Path], count: int) -> int:
    """The channel that all queries are named after (nnU-Net's suffix), else the first."""
    named = {match.group(1) if (match := re.search(r"_(\d{4})$", stem_of(path))) else "" for path in queries}
    channel = int(named.pop() or 0) if len(named) == 1 else 0
    return channel if channel < count else 0


def _channel(what: str, channels: tuple[str, ...]) -> int:
    what = what.strip()
    if what in channels:
        return channels.index(what)
    if what.isdecimal() and int(what) < len(channels):
        return int(what)
    raise UnknownNameError("channel of these prompts", what, channels)


def _two_channels(what: str, channels: tuple[str, ...]) -> tuple[int, int]:
    source, arrow, goal = what.partition("->")
    if not arrow:
        raise PromptError(
            f"the task synthesis for prompts with the channels {', '.join(channels)}",
            "two channels, the first to start from",
            f"ask for example for --task 'synthesis:{channels[0]}->{channels[-1]}'"
            if len(channels) > 1
            else "add targetsTr/ or a second channel",
        )
    return _channel(source, channels), _channel(goal, channels)
