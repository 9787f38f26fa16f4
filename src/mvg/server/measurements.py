"""Measurements of labels: volume, extent and intensities."""

import numpy as np

from mvg.imaging.volume import LabelMap, Volume, luminance
from mvg.prediction.output_files import PICTURE_SUFFIXES
from mvg.server.ras import RasGrid

COLUMNS = (
    "study", "state", "label", "value", "voxels", "ml", "mm right-left", "mm front-back", "mm up-down", "mean",
    "minimum", "maximum",
)  # fmt: skip
_UNSCALED = (*PICTURE_SUFFIXES, ".tif", ".tiff")  # pictures whose pixels have no known size


def measured(volume: Volume, labels: LabelMap, value: int, suffix: str) -> tuple[str, ...]:
    """Voxels, millilitres, millimetres along each axis of the grid, mean, minimum and maximum of one label.

    Sizes are empty for pictures (`suffix` of the file), whose pixels have no known size; intensities are empty for a
    label without voxels.
    """
    inside = labels.voxels == value
    count = int(inside.sum())
    millilitres, extents = "", ("", "", "")
    if suffix not in _UNSCALED:
        cell = abs(float(np.linalg.det(volume.affine[:3, :3])))
        millilitres = f"{count * cell / 1000:.4f}"
        grid = RasGrid(volume.shape, volume.affine)
        first, second, third = (f"{length:.2f}" for length in _extent(grid.to_ras(inside), grid.spacing))
        extents = (first, second, third)
    if not count:
        return str(count), millilitres, *extents, "", "", ""
    values = luminance(volume).voxels[inside] if volume.channels in (1, 3) else volume.voxels[..., 0][inside]
    intensities = (f"{float(number):.4f}" for number in (values.mean(dtype=np.float64), values.min(), values.max()))
    return str(count), millilitres, *extents, *intensities


def _extent(inside: np.ndarray, spacing: tuple[float, float, float]) -> list[float]:
    """The length of a region along each axis, in mm."""
    lengths = []
    for axis, step in enumerate(spacing):
        present = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        lengths.append(float(step * (present[-1] - present[0] + 1)) if len(present) else 0.0)
    return lengths


def table_cell(text: str) -> str:
    """A text for a table, which no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "@", "\t") else text
