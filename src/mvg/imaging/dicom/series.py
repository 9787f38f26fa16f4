"""Which images of an export are one volume: one series of several, and one stack of parallel slices in it."""

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mvg.errors import FileError, GeometryError, MvgError
from mvg.imaging.dicom.files import Instance, Note, image_instances
from mvg.imaging.dicom.time_points import time_point

_Item = TypeVar("_Item")

LARGEST = "largest"
"""In place of a UID: the series and the stack of slices with most images, whatever else is there."""
ALL = "all"
"""In place of a UID: every series is a query of its own."""

_VOLUME = re.compile(r"(?:(.+) )?volume (\d+)")
_MOST_SERIES = 5  # in a message
_COSINE = 0.01  # by how much direction cosines of one stack may differ; `stack` is stricter
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID")
_MADE_BY_PROGRAMS = (  # segmentations, parametric maps, doses and captured screens: never the image of an examination
    "1.2.840.10008.5.1.4.1.1.66", "1.2.840.10008.5.1.4.1.1.30", "1.2.840.10008.5.1.4.1.1.481",
    "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.11",
)  # fmt: skip
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_EQUAL_IN_ONE_SERIES = (
    "StudyInstanceUID", "SeriesNumber", "SeriesDescription", "Modality", "FrameOfReferenceUID", "EchoTime", "Rows",
    "Columns",
)  # fmt: skip


@dataclass(frozen=True)
class Series:
    """The images that one scan, or one processing of it, has made; uid: its SeriesInstanceUID."""

    uid: str
    instances: tuple[Instance, ...]

    @property
    def header(self) -> Any:
        """The elements of its first image."""
        return self.instances[0].header

    @property
    def image_count(self) -> int:
        """Images, with each frame of a multi-frame file."""
        return sum(_whole(instance.header.get("NumberOfFrames"), 1) for instance in self.instances)

    @property
    def caption(self) -> str:
        """Its description, number of images and the end of its UID, for messages."""
        return f"'{self.header.get('SeriesDescription', '')}' ({self.image_count} images, UID ...{self.uid[-8:]})"


def _silent(_: str) -> None:
    """Drops a note, which is written when the images are read."""


def all_series(path: Path, note: Note = _silent) -> list[Series]:
    """Every series of an export, without localizers and what programs made, if there are others; a note names these.

    Raises FileError where there is no image.
    """
    grouped = _grouped(path, image_instances(path, _silent), _silent)
    chosen = _of_examinations(grouped)
    rest = [series for series in grouped if series not in chosen]
    if rest:
        note(
            f"'{path}': {len(rest)} of {len(grouped)} series are left out, localizers or what programs made: "
            f"{_captions(rest)}; --series UID reads one of them"
        )
    return chosen


def segmentation_in(path: Path) -> str:
    """The UID of the only segmentation of an export that holds other series too, "" where there is none.

    Raises FileError where there are several, and where there is no image.
    """
    grouped = _grouped(path, image_instances(path, _silent), _silent)
    uids = {series.uid for series in grouped if is_segmentation(series.header)}
    files = [one for series in grouped if series.uid in uids for one in series.instances]
    if len(files) > 1 and len(grouped) > 1:
        raise FileError(
            f"'{path}' holds {len(files)} segmentations ({', '.join(one.file.name for one in files[:_MOST_SERIES])})",
            "one",
            "take the others away",
        )
    return next(iter(uids)) if files and len(grouped) > 1 else ""


def is_segmentation(header: Any) -> bool:
    """Whether the elements of a file are those of a SEG."""
    return str(header.get("SOPClassUID", "")) in _SEGMENTATIONS


def choose(path: Path, wish: str = "", note: Note = _silent) -> list[Instance]:
    """The images of one volume, in the order of their files.

    wish: the UID of a series or the end of it, LARGEST, or "" for the only series, or for the largest one if there is
    one that is larger than all others; and "volume N" behind any of these, for one of several volumes, see
    `time_points`. Raises FileError for series that are missing or equally large, and errors that name LARGEST for a
    series of several stacks.
    """
    if volume := _VOLUME.fullmatch(wish):
        return time_point(path, choose(path, volume[1] or "", note), int(volume[2]))
    grouped = _grouped(path, image_instances(path, note), note)
    if wish not in ("", LARGEST):
        return _one_stack(path, _named(path, grouped, wish), wish, note)
    candidates = _of_examinations(grouped)
    first, *others = sorted(candidates, key=lambda series: -series.image_count)
    if others and others[0].image_count == first.image_count and wish != LARGEST:
        raise FileError(
            f"'{path}' holds {len(grouped)} series: {_captions(candidates)}",
            "one series, or one that is larger than the others",
            f"name one with --series UID, or --series {LARGEST} or {ALL}",
        )
    if len(grouped) > 1:
        rest = [series for series in grouped if series is not first]
        note(
            f"'{path}' holds {len(grouped)} series; the largest, {first.caption}, is read; --series UID chooses"
            f" another, --series {ALL} takes each: {_captions(rest)}"
        )
    return _one_stack(path, first, wish, note)


def volume_number(wish: str) -> int | None:
    """The number of the volume that a wish names, see `choose`; None without one."""
    volume = _VOLUME.fullmatch(wish)
    return None if volume is None else int(volume[2])


def _grouped(path: Path, instances: Sequence[Instance], note: Note) -> list[Series]:
    """Instances by study and series; series that consist of one image each are one series if all else is equal."""
    by_uid = _by(instances, lambda one: tuple(str(one.header.get(name, "")) for name in _UIDS)).values()
    groups = [Series(str(members[0].header.get(_UIDS[1], "")), tuple(members)) for members in by_uid]
    single = [series for series in groups if series.image_count == 1 and "ImagePositionPatient" in series.header]
    merged = list[Series]()
    for members in _by(single, lambda series: _description(series.header)).values():
        if len(members) > 2:  # two images alone could be two scans
            merged.append(replace(members[0], instances=tuple(one for series in members for one in series.instances)))
            note(
                f"'{path}': each of {len(members)} images has a SeriesInstanceUID of its own; all else is equal: they"
                " are read as one series"
            )
    instances_in = {id(one) for series in merged for one in series.instances}
    return merged + [series for series in groups if id(series.instances[0]) not in instances_in]


def _description(header: Any) -> tuple[str, ...]:
    return tuple(str(header.get(name, "")) for name in _EQUAL_IN_ONE_SERIES)


def _of_examinations(grouped: Sequence[Series]) -> list[Series]:
    """Without what programs made and localizers, if anything else is there."""
    scanned = [one for one in grouped if not str(one.header.get("SOPClassUID", "")).startswith(_MADE_BY_PROGRAMS)]
    scanned = scanned or list(grouped)
    return [one for one in scanned if not _is_localizer(one.header)] or scanned


def _is_localizer(header: Any) -> bool:
    kinds = header.get("ImageType") or ()
    return "LOCALIZER" in ([kinds] if isinstance(kinds, str) else list(kinds))


def _named(path: Path, grouped: Sequence[Series], wish: str) -> Series:
    matches = [series for series in grouped if series.uid.endswith(wish.lstrip("."))]
    if len(matches) != 1:
        raise FileError(
            f"'{path}' holds {len(matches)} series whose UID ends in {wish}: {_captions(matches or grouped)}",
            "exactly one",
            "name a UID, or a longer end of it"
            if len({series.uid for series in matches}) != 1
            else "separate their studies into folders",
        )
    return matches[0]


def _one_stack(path: Path, series: Series, wish: str, note: Note) -> list[Instance]:
    """The only stack of slices with one size and direction, or the largest one if the user wishes so."""
    stacks = sorted(_stacks(series.instances), key=len, reverse=True)
    if len(stacks) == 1:
        return stacks[0]
    if wish != LARGEST:
        raise _mixed(path, stacks)
    note(f"'{path}': one stack of {len(stacks[0])} images is read; left out: {_names(stacks[1:])}")
    return stacks[0]


def _stacks(instances: Sequence[Instance]) -> list[list[Instance]]:
    """Instances by size, colors and direction; frames of one file have a direction each, which `stack` checks."""
    stacks = list[list[Instance]]()
    for size in _by(instances, lambda one: _size(one.header)).values():
        of_size = list[list[Instance]]()
        for instance in size:
            cosines = _cosines(instance.header)
            near = (one for one in of_size if np.abs(_cosines(one[0].header) - cosines).max() <= _COSINE)
            stack = next(near, None)
            if stack is None:
                of_size.append([instance])
            else:
                stack.append(instance)
        stacks += of_size
    return stacks


def _size(header: Any) -> tuple[int, ...]:
    return tuple(_whole(header.get(name), 0) for name in ("Rows", "Columns", "SamplesPerPixel"))


def _cosines(header: Any) -> NDArray[np.float64]:
    values = header.get("ImageOrientationPatient") or ()
    return np.array(values, np.float64) if len(values) == 6 else np.full(6, 9.0)


def _mixed(path: Path, stacks: Sequence[Sequence[Instance]]) -> MvgError:
    counts = " and ".join(str(len(stack)) for stack in stacks[:_MOST_SERIES])
    has_one_size = len({_size(stack[0].header) for stack in stacks}) == 1
    has_localizer = any(_is_localizer(one.header) for stack in stacks[1:] for one in stack)
    reason = ("directions" if has_one_size else "sizes") + (" (a localizer)" if has_localizer else "")
    return (GeometryError if has_one_size else FileError)(
        f"one series of '{path}' holds {counts} images of different {reason}; the fewest are {_names(stacks[1:])}",
        "parallel slices of one size",
        f"remove them, or leave them out with --series {LARGEST}",
    )


def _names(stacks: Iterable[Sequence[Instance]]) -> str:
    names = [one.file.name for stack in stacks for one in stack]
    return ", ".join(names[:_MOST_SERIES]) + (", ..." if len(names) > _MOST_SERIES else "")


def _captions(grouped: Iterable[Series]) -> str:
    captions = [series.caption for series in grouped]
    more = f" and {len(captions) - _MOST_SERIES} more" if len(captions) > _MOST_SERIES else ""
    return ", ".join(captions[:_MOST_SERIES]) + more


def _by(items: Iterable[_Item], key: Callable[[_Item], Hashable]) -> dict[Hashable, list[_Item]]:
    groups: dict[Hashable, list[_Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _whole(value: Any, default: int) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return default
