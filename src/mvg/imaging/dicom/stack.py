"""Slices in space: their positions, their order along the normal, and the affine of all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import FileError, GeometryError
from mvg.imaging.dicom.pixels import functional_group

_LPS = np.array([-1.0, -1.0, 1.0])
_GAP = 0.1  # share of the slice distance by which a single gap may differ
_DIRECTION = 1e-3  # by how much the directions of slices of one series may differ
_SHIFT = 0.5  # pixels by which a slice may lie beside the line through the first and the last one
_SAME_POSITION = 1e-4  # mm
_MOST_GAPS = 5  # in a message
_CENTIMETERS = 3  # the code of this unit in regions of ultrasound
_DIFFER = (  # what tells images of one position apart
    "AcquisitionNumber", "TemporalPositionIdentifier", "EchoTime", "EchoNumbers", "ImageType", "InversionTime",
    "FlipAngle", "TriggerTime", "DiffusionBValue", "AcquisitionTime", "ReconstructionDiameter", "SeriesNumber",
)  # fmt: skip


@dataclass(frozen=True)
class SlicePosition:
    """The position of a slice in LPS mm: its first pixel, the steps to the next column and row, its unit normal."""

    origin: NDArray[np.float64]
    to_column: NDArray[np.float64]
    to_row: NDArray[np.float64]
    normal: NDArray[np.float64]
    thickness: float

    @property
    def height(self) -> float:
        """Of the first pixel along the normal, in mm."""
        return float(self.origin @ self.normal)


def position_of(dataset: Any, number: int, count: int) -> SlicePosition | None:
    """The position of frame `number` of `count`; None for images without a position in the patient."""
    position = functional_group(dataset, number, "PlanePositionSequence") or dataset
    orientation = functional_group(dataset, number, "PlaneOrientationSequence") or dataset
    measures = functional_group(dataset, number, "PixelMeasuresSequence") or dataset
    corner, cosines = position.get("ImagePositionPatient"), orientation.get("ImageOrientationPatient")
    if not corner or not cosines or (count > 1 and position is dataset):
        return None
    across, down = np.array(cosines[:3], np.float64), np.array(cosines[3:], np.float64)
    row_mm, col_mm = pixel_spacing(measures)
    thickness = float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 1)
    return SlicePosition(
        np.array(corner, np.float64), across * col_mm, down * row_mm, np.cross(across, down), abs(thickness)
    )


def pixel_spacing(measures: Any) -> tuple[float, float]:
    """Millimeters between rows and between columns; 1 where the image does not say, and without a wrong sign."""
    spacing = measures.get("PixelSpacing") or measures.get("ImagerPixelSpacing") or _of_ultrasound(measures) or (1, 1)
    row, col = spacing if isinstance(spacing, Sequence) else (spacing, spacing)
    return abs(float(row)) or 1.0, abs(float(col)) or 1.0


def spacing_fault(header: Any) -> str:
    """What is wrong with the spacing of an image in the patient, and what is read instead; "" for nothing."""
    spacing = header.get("PixelSpacing")
    if "ImagePositionPatient" not in header or (spacing and np.min(np.float64(spacing)) > 0):
        return ""
    if not spacing:
        return "PixelSpacing is missing, and 1 mm is used"
    stated, used = (" x ".join(f"{size:g}" for size in sizes) for sizes in (np.ravel(spacing), pixel_spacing(header)))
    return f"PixelSpacing is impossible ({stated} mm), and {used} mm is used"


def _of_ultrasound(dataset: Any) -> tuple[float, float] | None:
    """The spacing of the largest region of an ultrasound image whose units are centimeters."""
    regions = [
        region
        for region in dataset.get("SequenceOfUltrasoundRegions") or []
        if region.get("PhysicalUnitsXDirection") == region.get("PhysicalUnitsYDirection") == _CENTIMETERS
    ]
    if not regions:
        return None
    largest = max(regions, key=lambda region: int(region.get("RegionLocationMaxX1", 0)))
    return 10 * abs(float(largest.PhysicalDeltaY)), 10 * abs(float(largest.PhysicalDeltaX))


def check_parallel(positions: Sequence[SlicePosition], path: Path) -> None:
    """Raises GeometryError for slices of different directions or pixel sizes."""
    first = positions[0]
    for position in positions:
        turned = np.abs(position.to_column - first.to_column).max() + np.abs(position.to_row - first.to_row).max()
        if not turned <= _DIRECTION * np.linalg.norm(first.to_column):
            raise GeometryError(f"'{path}' holds slices of different directions", "parallel slices", "separate them")


def by_height(positions: Sequence[SlicePosition]) -> list[list[int]]:
    """The indices of slices in ascending order along the normal, those of one position together."""
    height = np.array([position.origin @ positions[0].normal for position in positions])
    groups = list[list[int]]()
    for index in np.argsort(height, kind="stable").tolist():
        if groups and height[index] - height[groups[-1][0]] <= _SAME_POSITION:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def affine_of_slices(positions: Sequence[SlicePosition], path: Path) -> NDArray[np.float64]:
    """The affine to RAS+ mm of slices in their order. Raises GeometryError for unequal distances."""
    first = positions[0]
    step = first.normal * first.thickness
    if len(positions) > 1:
        _check_gaps(np.array([position.origin @ first.normal for position in positions]), path)
        step = (positions[-1].origin - first.origin) / (len(positions) - 1)
        _check_line(positions, step, path)
    affine = np.eye(4)
    affine[:3] = np.stack([first.to_column, first.to_row, step, first.origin], axis=1) * _LPS[:, None]
    return affine


def several_of_one_position(path: Path, headers: Sequence[Any], are_volumes: bool) -> FileError:
    """The error for different images of one position, with the elements in which they differ.

    are_volumes: whether they are frames of one file that holds several volumes.
    """
    texts = {name: [str(header.get(name, "")) for header in headers] for name in _DIFFER}
    differing = [f"{name} {', '.join(sorted(set(values))[:3])}" for name, values in texts.items() if len({*values}) > 1]
    differ = f"; they differ in {'; '.join(differing[:3])}" if differing else ""
    return FileError(
        f"'{path}' holds several images of one position (time points or echoes){differ}",
        "one volume",
        "choose one or all of a query (mvg predict --volume 0), or separate them into folders"
        if differing or are_volumes or _are_numbered(headers)
        else "separate them into folders, because nothing in their headers tells them apart",
    )


def _are_numbered(headers: Sequence[Any]) -> bool:
    """Whether images differ in their number or the time of their content."""
    keys = [tuple(str(header.get(name, "")) for name in ("InstanceNumber", "ContentTime")) for header in headers]
    return len(set(keys)) == len(keys)


def _check_line(positions: Sequence[SlicePosition], step: NDArray[np.float64], path: Path) -> None:
    """Raises GeometryError where slices are shifted in their plane, as parts of several scans are."""
    first = positions[0]
    beside = [one.origin - first.origin - number * step for number, one in enumerate(positions)]
    shifts = np.array([np.linalg.norm(shift - (shift @ first.normal) * first.normal) for shift in beside])
    pixel = min(np.linalg.norm(first.to_column), np.linalg.norm(first.to_row))
    if shifts.max() > _SHIFT * pixel:
        worst = positions[int(shifts.argmax())]
        raise GeometryError(
            f"slices of '{path}' are shifted in their plane, by {shifts.max():.2f} mm at {worst.height:.2f} mm",
            "slices above one another",
            "separate the scans, or export the series again",
        )


def _check_gaps(height: NDArray[np.float64], path: Path) -> None:
    gaps = np.diff(height)
    usual = float(np.median(gaps))
    if np.abs(gaps - usual).max() <= _GAP * usual:
        return
    odd = np.flatnonzero(np.abs(gaps - usual) > _GAP * usual)
    listed = ", ".join(f"{height[k]:.2f} and {height[k + 1]:.2f}" for k in odd[:_MOST_GAPS])
    more = f" and {len(odd) - _MOST_GAPS} more" if len(odd) > _MOST_GAPS else ""
    raise GeometryError(
        f"'{path}' has slices {gaps.min():.2f} to {gaps.max():.2f} mm apart; the distance is not {usual:.2f} mm between"
        f" the positions {listed} mm{more}",
        "equal distances",
        "add the slices that are missing there",
    )
