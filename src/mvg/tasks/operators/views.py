"""CT from few views or a limited angle: parallel beams, one slice at a time.

sinogram   (slices, views, detectors): line integrals of the attenuation, without unit
angles     (views,) in degrees; attributes of the file: pixel_mm (1 if missing), and side, of the square pictures
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mvg.errors import FileError, PromptError
from mvg.imaging.volume import Volume
from mvg.imaging.window import guess_modality
from mvg.tasks.measurement import axial_grid, checked
from mvg.tasks.projection import WATER
from mvg.tasks.tomography import detectors, even_angles, filtered_backprojection, nearest_consistent

_LIMITED = 120.0  # degrees, for levels that are not numbers of views
_FINE = 2  # samples per detector pixel, when a volume is measured
_STEPS = 3  # of conjugate gradients
_AIR = -1000.0


@dataclass(frozen=True, eq=False)
class Views:
    """sinograms: (n, views, detectors) sums of attenuation over that of water, in pixels; angles in degrees."""

    sinograms: NDArray[np.float32]
    angles: tuple[float, ...]
    grid: Volume

    @classmethod
    def recognizes(cls, names: Sequence[str]) -> bool:
        """Whether a file with these data sets holds a sinogram."""
        return "sinogram" in names

    @classmethod
    def read(cls, file: h5py.File, path: Path) -> "Views":
        """The raw data of an open file. Raises FileError for what does not fit together."""
        sinograms = checked(np.asarray(file["sinogram"], np.float32), "sinogram", path)
        angles = np.asarray(file["angles"], np.float64).ravel() if "angles" in file else np.zeros(0)
        if sinograms.ndim != 3 or sinograms.shape[1] != len(angles):
            raise FileError(
                f"'sinogram' of shape {sinograms.shape} beside {len(angles)} 'angles' in '{path}'",
                "(slices, views, detectors), and an angle for each view", "write both for the same views",
            )  # fmt: skip
        pixel, side = float(file.attrs.get("pixel_mm", 1.0)), int(file.attrs.get("side", 0))
        side = side or int((sinograms.shape[-1] - 2) / np.sqrt(2))
        if detectors(side) != sinograms.shape[-1] or pixel <= 0:
            raise FileError(
                f"{sinograms.shape[-1]} detectors of {pixel:g} mm for pictures of {side} pixels in '{path}'",
                f"{detectors(side)} detectors as wide as a pixel, centered", "resample the sinogram",
            )  # fmt: skip
        grid = axial_grid((len(sinograms), side, side), (pixel, pixel, pixel))
        sinograms = np.asarray(sinograms / (WATER * pixel), np.float32)
        return cls(sinograms, tuple(float(angle) for angle in angles), grid)

    @classmethod
    def check(cls, clean: Volume, level: float) -> None:
        """Raise PromptError for intensities that are no HU, pictures that are not square, or a level without views."""
        rows, columns = clean.pictures(clean.plane).shape[1:]
        if guess_modality(clean.voxels) != "CT":
            raise PromptError("an image whose intensities are not HU", "CT in HU", "use the operator kspace for MR")
        if rows != columns or not np.isfinite(level) or round(abs(level)) < 2:
            raise PromptError(
                f"{level:g} views of pictures of {rows} x {columns}", "two views or more of square pictures",
                "choose another level, or cut the image",
            )  # fmt: skip

    @classmethod
    def simulate(cls, clean: Volume, level: float, rng: np.random.Generator) -> "Views":
        """Measure a volume in HU from `level` views over half a turn; negative: as many over 120 degrees."""
        count = round(abs(level))
        angles = even_angles(count) if level > 0 else even_angles(count, _LIMITED)
        return cls(_measured(clean, angles), angles, clean)

    def write(self, file: h5py.File) -> None:
        """Write sinogram and angles into an open file; only pictures that are square can be written."""
        pixel = float(np.mean(self.grid.pixel_spacing(self.grid.plane)))
        file["sinogram"] = self.sinograms * np.float32(WATER * pixel)
        file["angles"] = np.asarray(self.angles)
        file.attrs["pixel_mm"], file.attrs["side"] = pixel, self._side

    def alike(self, clean: Volume, rng: np.random.Generator) -> "Views":
        """Measure another volume from the same angles."""
        return replace(self, sinograms=_measured(clean, self.angles), grid=clean)

    def initial(self) -> NDArray[np.float32]:
        """Filtered backprojection in HU; not below air."""
        pictures = filtered_backprojection(self.sinograms, self.angles, self._side)
        return self._hounsfield(np.maximum(pictures, 0))

    def consistent(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """A few steps of conjugate gradients from the pictures (in HU) towards the sinograms."""
        changed = nearest_consistent(_attenuation(pictures, self._side), self.sinograms, self.angles, _STEPS)
        return self._hounsfield(np.maximum(changed, 0))

    def subset(self, numbers: Sequence[int], grid: Volume) -> "Views":
        """Some of the slices."""
        return replace(self, sinograms=self.sinograms[list(numbers)], grid=grid)

    @property
    def _side(self) -> int:
        return int(max(self.grid.pictures(self.grid.plane).shape[1:]))

    def _hounsfield(self, attenuation: NDArray[np.float32]) -> NDArray[np.float32]:
        rows, columns = self.grid.pictures(self.grid.plane).shape[1:]
        return np.asarray(attenuation[:, :rows, :columns] * 1000 + _AIR, np.float32)


def _attenuation(pictures: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Pictures in HU as squares of attenuation over that of water, with air around them."""
    rows, columns = pictures.shape[1:]
    padded = np.pad(pictures, ((0, 0), (0, side - rows), (0, side - columns)), constant_values=_AIR)
    return np.asarray(np.maximum(padded - _AIR, 0) / 1000, np.float32)


def _measured(clean: Volume, angles: tuple[float, ...]) -> NDArray[np.float32]:
    """Sinograms, by turning the pictures, so that measuring is not the exact inverse of reconstructing."""
    pictures = np.asarray(clean.pictures(clean.plane), np.float32)
    squares = _attenuation(pictures, max(pictures.shape[1:]))
    sinograms = [[_turned_sums(square, np.deg2rad(angle)) for angle in angles] for square in squares]
    return np.asarray(sinograms, np.float32)


def _turned_sums(square: NDArray[np.float32], angle: float) -> NDArray[np.float32]:
    """The sums (detectors,) along rays through a square, of samples that are finer than its pixels."""
    count = detectors(len(square))
    along, across = np.array([-np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
    matrix = np.stack([across[::-1] / _FINE, along[::-1]], axis=1)  # rows, columns <- fine detector, way along the ray
    start = (len(square) - 1) / 2 - matrix @ ((_FINE * count - 1) / 2, (count - 1) / 2)
    lines = ndimage.affine_transform(square, matrix, start, (_FINE * count, count), order=1)
    return np.asarray(lines.sum(axis=1).reshape(count, _FINE).mean(axis=1), np.float32)


MEASUREMENT = Views
