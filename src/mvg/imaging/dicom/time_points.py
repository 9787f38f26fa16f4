"""Series that hold several volumes at the same positions: phases of a heart, dynamic contrast, echoes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mvg.errors import FileError
from mvg.imaging.dicom.files import Instance
from mvg.imaging.dicom.frame_volumes import frame_volumes
from mvg.imaging.dicom.stack import by_height, position_of

ORDER = (
    "TemporalPositionIdentifier", "TemporalPositionIndex", "TriggerTime", "NominalCardiacTriggerDelayTime", "EchoTime",
    "EchoNumbers", "DiffusionBValue", "InversionTime", "FlipAngle", "AcquisitionNumber", "AcquisitionTime",
    "ContentTime", "InstanceNumber",
)  # fmt: skip
"""The elements by which images of one position are ordered; the first that tells all of them apart counts."""


def time_points(instances: Sequence[Instance]) -> list[list[Instance]]:
    """The images of each volume, volumes in the order of time; all images in one list where there is one volume.

    There are several if every position has equally many images that some element of `ORDER` tells apart.
    """
    positions = [position_of(one.header, 0, 1) for one in instances]
    known = [position for position in positions if position is not None]
    if len(known) < len(positions):
        return [list(instances)]
    groups = [[instances[number] for number in group] for group in by_height(known)]
    count = len(groups[0])
    if count == 1 or any(len(group) != count for group in groups):
        return [list(instances)]
    for name in ORDER:
        keys = [[_number(one.header.get(name)) for one in group] for group in groups]
        if all(None not in values and len(set(values)) == count for values in keys):
            ordered = [_by(group, values) for group, values in zip(groups, keys, strict=True)]
            return [[group[number] for group in ordered] for number in range(count)]
    return [list(instances)]


def volume_count(instances: Sequence[Instance]) -> int:
    """How many volumes there are: of a film without positions, as of ultrasound, each frame is one."""
    return film_length(instances) or max(len(volumes_of_file(instances)), len(time_points(instances)))


def volumes_of_file(instances: Sequence[Instance]) -> list[list[int]]:
    """The frames of each volume of one multi-frame file with positions, see `frame_volumes`; [] for anything else."""
    is_one = len(instances) == 1 and not film_length(instances)
    return frame_volumes(instances[0].header) if is_one else []


def film_length(instances: Sequence[Instance]) -> int:
    """The number of frames of a film without positions; 0 for anything else."""
    header = instances[0].header
    count = int(header.get("NumberOfFrames") or 1)
    return count if len(instances) == 1 and count > 1 and position_of(header, 0, count) is None else 0


def time_point(path: Path, instances: Sequence[Instance], number: int) -> list[Instance]:
    """The images of one volume, counted from 0, or the file of several frames that it lies in.

    Raises FileError where there is none of that number.
    """
    of_file = film_length(instances) or len(volumes_of_file(instances))
    volumes = [list(instances)] * of_file or time_points(instances)
    if number >= len(volumes):
        raise FileError(f"'{path}' has {len(volumes)} volumes", f"0 to {len(volumes) - 1}", f"choose not {number}")
    return volumes[number]


def _by(group: Sequence[Instance], keys: Sequence[Any]) -> list[Instance]:
    return [group[at] for at in sorted(range(len(group)), key=keys.__getitem__)]


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
