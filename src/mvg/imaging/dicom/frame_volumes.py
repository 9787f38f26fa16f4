"""Multi-frame files that hold several volumes: phases of a heart, echoes, diffusion weightings (enhanced MR and CT)."""

from collections.abc import Sequence
from typing import Any

from mvg.imaging.dicom.pixels import functional_group
from mvg.imaging.dicom.stack import by_height, position_of

# (functional group, element) by which frames of one position are ordered; the first that tells all of them apart.
_ORDER = (
    ("FrameContentSequence", "TemporalPositionIndex"),
    ("TemporalPositionSequence", "TemporalPositionTimeOffset"),
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("MREchoSequence", "EffectiveEchoTime"),
    ("MRDiffusionSequence", "DiffusionBValue"),
    ("MRModifierSequence", "InversionTimes"),
    ("FrameContentSequence", "FrameAcquisitionNumber"),
)


def frame_volumes(header: Any) -> list[list[int]]:
    """The numbers of the frames of each volume of a file; all of them in one list where there is one volume.

    There are several if every position in the patient has equally many frames. They are ordered by the first element
    of `_ORDER` that tells the frames of each position apart, else as they are stored.
    """
    count = int(header.get("NumberOfFrames") or 1)
    positions = [position_of(header, number, count) for number in range(count)]
    known = [position for position in positions if position is not None]
    if len(known) < max(count, 2):
        return [list(range(count))]
    groups = by_height(known)
    volumes = len(groups[0])
    if any(len(group) != volumes for group in groups):
        return [list(range(count))]
    ordered = [_ordered(header, group) for group in groups]
    return [[group[number] for group in ordered] for number in range(volumes)]


def _ordered(header: Any, frames: Sequence[int]) -> list[int]:
    """Frames of one position in the order of time."""
    for group, element in _ORDER:
        values = [_number(functional_group(header, frame, group), element) for frame in frames]
        known = [value for value in values if value is not None]
        if len(set(known)) == len(frames):
            return [frames[at] for at in sorted(range(len(frames)), key=known.__getitem__)]
    return sorted(frames)


def _number(group: Any, element: str) -> float | None:
    try:
        return None if group is None else float(group.get(element))
    except (TypeError, ValueError):
        return None
