"""DICOM segmentations (SEG) as label maps: of the slices from the first to the last that has a frame."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import FileError, GeometryError
from mvg.imaging.dicom.files import Note
from mvg.imaging.dicom.pixels import functional_group, name_transfer_syntax
from mvg.imaging.dicom.series import choose, is_segmentation, segmentation_in
from mvg.imaging.dicom.stack import SlicePosition, check_parallel, position_of
from mvg.imaging.formats import Stored
from mvg.imaging.segments import segments_header

_LPS = np.array([-1.0, -1.0, 1.0])
_STEP = 0.1  # of the distance between slices, by which a frame may lie beside one
_SAME = 1e-3  # mm between slices of one position
_MOST_PARTS = 6  # of the smallest gap between frames
_MOST_SLICES = 100_000


def segment_names(path: Path) -> dict[int, str]:
    """Label value -> name, of the only SEG at a path; empty where there is none. Raises FileError."""
    instances = choose(path, segmentation_in(path))
    one = len(instances) == 1 and is_segmentation(instances[0].header)
    return _names(instances[0].header) if one else {}


def labels_of_segmentation(dataset: Any, path: Path, note: Note) -> Stored:
    """The labels of a SEG: numbers of segments, or of the label map form its values.

    They lie on the grid of the frames, whose empty ones are left out by most programs. A note names voxels of several
    segments, of which the last counts. Raises FileError and GeometryError for frames that are no volume.
    """
    name_transfer_syntax(dataset)
    frames = _frames(dataset)
    positions = [position for k in range(len(frames)) if (position := position_of(dataset, k, len(frames))) is not None]
    if len(positions) < len(frames) or not len(frames):
        raise FileError(
            f"'{path}' is a segmentation whose frames do not say where they lie", "a position for each", "convert it"
        )
    check_parallel(positions, path)
    numbers, affine = _grid(positions, path)
    voxels = np.zeros((frames.shape[2], frames.shape[1], max(numbers) + 1), np.uint16)
    shared = 0
    for k, number in enumerate(numbers):
        inside, values = _labels(dataset, frames[k], k)
        before = voxels[:, :, number]
        shared += int(np.count_nonzero(inside & (before != 0) & (before != values)))
        voxels[:, :, number] = np.where(inside, values, before)
    if shared:
        note(f"'{path}': {shared} voxels belong to several segments, of which the last one counts")
    return Stored(voxels, affine, segments_header(_names(dataset), affine))


def _names(header: Any) -> dict[int, str]:
    return {
        int(segment.SegmentNumber): str(segment.get("SegmentLabel") or "").strip()
        for segment in header.get("SegmentSequence") or []
        if int(segment.SegmentNumber)
    }


def _frames(dataset: Any) -> NDArray[Any]:
    """All frames (n, rows, cols)."""
    from pydicom.pixels.utils import pixel_array

    pixels = pixel_array(dataset)
    return np.asarray(pixels if pixels.ndim == 3 else pixels[None])


def _labels(dataset: Any, frame: NDArray[Any], number: int) -> tuple[NDArray[np.bool_], NDArray[Any] | int]:
    """Where a frame has labels (cols, rows), and which; fractions count from a half on."""
    if dataset.get("SegmentationType") == "LABELMAP":
        return frame.T != 0, frame.T
    group = functional_group(dataset, number, "SegmentIdentificationSequence")
    if group is None:
        raise ValueError("a frame of no segment")
    is_fraction = dataset.get("SegmentationType") == "FRACTIONAL"
    lowest = float(dataset.get("MaximumFractionalValue") or 1) / 2 if is_fraction else 1
    return lowest <= frame.T, int(group.ReferencedSegmentNumber)


def _grid(positions: Sequence[SlicePosition], path: Path) -> tuple[list[int], NDArray[np.float64]]:
    """The number of each frame's slice, and the affine to RAS+ mm of all slices from the first to the last."""
    first = min(positions, key=lambda one: one.origin @ positions[0].normal)
    heights = np.array([(one.origin - first.origin) @ first.normal for one in positions])
    gaps = np.diff(np.unique(np.round(heights, 4)))
    step = _step(gaps[gaps > _SAME]) or first.thickness
    numbers = np.rint(heights / step)
    if np.abs(heights - numbers * step).max() > _STEP * step or numbers.max() >= _MOST_SLICES:
        raise GeometryError(f"frames of '{path}' lie at unequal distances", "slices of one grid", "export it again")
    last = int(np.argmax(numbers))
    along = (positions[last].origin - first.origin) / numbers[last] if numbers[last] else first.normal * step
    affine = np.eye(4)
    affine[:3] = np.stack([first.to_column, first.to_row, along, first.origin], axis=1) * _LPS[:, None]
    return numbers.astype(int).tolist(), affine


def _step(gaps: NDArray[np.float64]) -> float:
    """The largest distance of which all gaps are multiples, 0 without a gap.

    What files state is not used: they confuse the distance between slices with their thickness.
    """
    if not gaps.size:
        return 0.0
    steps = (float(gaps.min()) / parts for parts in range(1, _MOST_PARTS + 1))
    return next((step for step in steps if np.abs(gaps / step - np.rint(gaps / step)).max() < _STEP), float(gaps.min()))
