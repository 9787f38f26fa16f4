"""What the images of prompts have in common, so that a query can be compared with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvg.imaging.grid_difference import is_placed
from mvg.imaging.orientation import CUT_AXIS, array_axes, unit_columns
from mvg.imaging.stated_modality import stated_patient
from mvg.imaging.volume import Plane, Volume
from mvg.imaging.window import Window


@dataclass(frozen=True)
class ScanFacts:
    """The geometry and the range of one image, cut along a plane.

    spacing: of rows, columns and slices in mm; extent: of a slice's rows and columns in mm; normal: the direction
    across the slices, in RAS+; low, high: the first window in raw intensities; single: whether there is one slice only;
    placed: whether its file says where it lies, as all but some NIfTI, NRRD and MetaImage files do; None if unknown.
    patient: the identifier that its file states, "" for none; task files do not hold it.
    """

    plane: Plane
    spacing: tuple[float, ...]
    extent: tuple[float, ...]
    normal: tuple[float, ...]
    low: float
    high: float
    single: bool
    placed: bool | None = True
    patient: str = ""

    @classmethod
    def of(cls, image: Volume, plane: Plane, windows: Sequence[Window]) -> "ScanFacts":
        """The facts of an image that is cut along `plane` and windowed by `windows`."""
        plane = image.cut_along(plane)
        axis = array_axes(image.axes)[CUT_AXIS[plane]]
        spacing = image.pixel_spacing(plane)
        rows, columns = image.pictures(plane).shape[-2:]
        return cls(
            plane,
            (*spacing, image.spacing[axis]),
            (rows * spacing[0], columns * spacing[1]),
            tuple(unit_columns(image.affine)[:, axis].tolist()),
            float(windows[0].low),
            float(windows[0].high),
            image.shape[axis] == 1,
            is_placed(image),
            stated_patient(image),
        )

    def angle(self, other: "ScanFacts") -> float:
        """Degrees between the slices of both, from 0 to 90."""
        return float(np.degrees(np.arccos(min(1.0, abs(np.dot(self.normal, other.normal))))))
