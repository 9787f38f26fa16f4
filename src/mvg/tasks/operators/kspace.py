"""MR with some lines of k-space left out: Cartesian, one or several coils, in fastMRI's layout.

    kspace   (slices, rows, cols) or (slices, coils, rows, cols) complex; lines that were not sampled are 0
    mask     (cols,), 1 for sampled lines; without it, the lines that are not 0 are sampled

Coils are combined by sensitivities that the fully sampled middle of k-space shows; with one coil that is its phase.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mvg.errors import FileError, PromptError
from mvg.imaging.volume import Volume
from mvg.tasks.measurement import axial_grid, checked

_CENTER = 0.32  # share of the lines in the middle that are all sampled, divided by the factor, as fastMRI has it
_LEAST = 10  # such lines: with fewer the phase cannot be estimated
_WAVES = 4  # of the synthetic phase
_LARGEST_PHASE = 2.0  # radians
_SIZES = re.compile(rb"<(?:reconSpace)>.*?</(?:reconSpace)>", re.DOTALL)

_Complex = NDArray[np.complex64]


@dataclass(frozen=True, eq=False)
class KSpace:
    """kspace: (n, coils, rows, cols), 0 where not sampled; mask (cols,): the sampled columns.

    grid: of the pictures, the middle of the field of view where it is smaller than k-space.
    """

    kspace: _Complex
    mask: NDArray[np.bool_]
    grid: Volume

    @classmethod
    def recognizes(cls, names: Sequence[str]) -> bool:
        """Whether a file with these data sets holds k-space."""
        return "kspace" in names

    @classmethod
    def read(cls, file: h5py.File, path: Path) -> "KSpace":
        """The raw data of an open file. Raises FileError for what does not fit together."""
        kspace = checked(np.asarray(file["kspace"]), "kspace", path)
        if not np.iscomplexobj(kspace) or kspace.ndim not in (3, 4):
            raise FileError(
                f"'kspace' in '{path}' of the type {kspace.dtype} and shape {kspace.shape}",
                "complex numbers (slices, rows, cols) or (slices, coils, rows, cols)", "write it in fastMRI's layout",
            )  # fmt: skip
        kspace = np.asarray(kspace if kspace.ndim == 4 else kspace[:, None], np.complex64)
        mask = _mask(file, kspace, path)
        shape, spacing = _picture_grid(file, kspace.shape[-2:], path)
        return cls(np.where(mask, kspace, np.complex64(0)), mask, axial_grid((len(kspace), *shape), spacing))

    @classmethod
    def check(cls, clean: Volume, level: float) -> None:
        """Raise PromptError for a volume that is too small, or a level that is no factor."""
        columns = clean.pictures(clean.plane).shape[-1]
        if not 1 <= level <= columns / _LEAST:
            raise PromptError(
                f"one line of k-space in {level:g}, of {columns}", f"at least {_LEAST} lines", "choose a lower level"
            )

    @classmethod
    def simulate(cls, clean: Volume, level: float, rng: np.random.Generator) -> "KSpace":
        """Measure a magnitude volume with a synthetic phase; one line in `level` is sampled, at random."""
        mask = drawn_mask(clean.pictures(clean.plane).shape[-1], level, rng)
        return cls(_measured(clean, mask, rng), mask, clean)

    def write(self, file: h5py.File) -> None:
        """Write k-space and mask into an open file."""
        file["kspace"] = self.kspace[:, 0] if self.kspace.shape[1] == 1 else self.kspace
        file["mask"] = self.mask.astype(np.float32)

    def alike(self, clean: Volume, rng: np.random.Generator) -> "KSpace":
        """Measure another volume along the same lines, counted from the middle of k-space."""
        columns = clean.pictures(clean.plane).shape[-1]
        nearest = np.rint(np.arange(columns) - columns // 2 + len(self.mask) // 2).astype(int)
        mask = self.mask[np.clip(nearest, 0, len(self.mask) - 1)]
        return replace(self, kspace=_measured(clean, mask, rng), mask=mask, grid=clean)

    def initial(self) -> NDArray[np.float32]:
        """Zero-filled: the magnitude of all coils together."""
        return self._cropped(self._magnitude)

    def consistent(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Replace k-space of the pictures by what was measured, where it was."""
        whole = self._uncropped(pictures)[:, None] * self._sensitivities
        merged = np.where(self.mask, self.kspace, _frequencies(whole))
        return self._cropped(np.abs((np.conj(self._sensitivities) * _picture(merged)).sum(axis=1)))

    def subset(self, numbers: Sequence[int], grid: Volume) -> "KSpace":
        """Some of the slices."""
        return replace(self, kspace=self.kspace[list(numbers)], grid=grid)

    @cached_property
    def _sensitivities(self) -> _Complex:
        """Of the coils (n, coils, rows, cols), with their phase; the squares of their magnitudes sum up to 1."""
        rows, columns = self.kspace.shape[-2:]
        width = _middle(self.mask)
        window = np.hanning(width + 2)[1:-1]
        low = np.zeros((rows, columns), np.float32)
        side = min(width, rows)
        top, left = (rows - side) // 2, columns // 2 - width // 2
        low[top : top + side, left : left + width] = np.hanning(side + 2)[1:-1, None] * window
        coils = _picture(self.kspace * low)
        total = np.sqrt((np.abs(coils) ** 2).sum(axis=1, keepdims=True))
        return np.asarray(coils / np.maximum(total, 1e-12), np.complex64)

    @cached_property
    def _magnitude(self) -> NDArray[np.float32]:
        """Of the zero-filled pictures of all coils together (n, rows, cols), in the whole field of view."""
        return np.asarray(np.sqrt((np.abs(_picture(self.kspace)) ** 2).sum(axis=1)))

    def _cropped(self, whole: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(whole[(slice(None), *self._middle)], np.float32)

    def _uncropped(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        whole = self._magnitude.copy()
        whole[(slice(None), *self._middle)] = pictures
        return np.asarray(whole, np.float32)

    @property
    def _middle(self) -> tuple[slice, ...]:
        shape = self.grid.pictures(self.grid.plane).shape[1:]
        starts = ((whole - part) // 2 for whole, part in zip(self.kspace.shape[-2:], shape, strict=True))
        return tuple(slice(start, start + part) for start, part in zip(starts, shape, strict=True))


def drawn_mask(columns: int, factor: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Sampled lines (columns,): the middle, and others at random, one in `factor` together."""
    count, width = max(1, round(columns / factor)), max(_LEAST, round(columns * _CENTER / factor))
    mask = np.zeros(columns, np.bool_)
    mask[columns // 2 - width // 2 : columns // 2 - width // 2 + width] = True
    others = rng.permutation(np.flatnonzero(~mask))[: max(0, count - width)]
    mask[others] = True
    return mask


def _measured(clean: Volume, mask: NDArray[np.bool_], rng: np.random.Generator) -> _Complex:
    """K-space (n, 1, rows, cols) of a magnitude volume with a synthetic phase, 0 where it is not sampled."""
    pictures = np.asarray(clean.pictures(clean.plane), np.float32)
    rows, columns = pictures.shape[1:]
    y, x = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    phase = np.zeros((rows, columns))
    for _ in range(_WAVES):
        down, across, start = rng.uniform(-1, 1, 3)
        phase += np.cos(2 * np.pi * (down * y + across * x + start))
    phase *= _LARGEST_PHASE / max(float(np.abs(phase).max()), 1e-6)
    kspace = _frequencies((pictures * np.exp(1j * phase))[:, None].astype(np.complex64))
    return np.where(mask, kspace, np.complex64(0))


def _middle(mask: NDArray[np.bool_]) -> int:
    """The number of lines around the middle that are all sampled, at least 1."""
    middle, width = len(mask) // 2, 0
    while width < middle and mask[middle - width - 1] and mask[min(middle + width + 1, len(mask) - 1)]:
        width += 1
    return max(1, 2 * width)


def _mask(file: h5py.File, kspace: _Complex, path: Path) -> NDArray[np.bool_]:
    columns = kspace.shape[-1]
    if "mask" not in file:
        return np.asarray(np.abs(kspace).sum(axis=(0, 1, 2)) > 0, np.bool_)
    mask = np.asarray(file["mask"])
    if mask.shape != (columns,):
        raise FileError(
            f"'mask' of shape {mask.shape} beside 'kspace' with {columns} columns in '{path}'",
            f"({columns},): one value per column", "write the mask that the data were sampled with",
        )  # fmt: skip
    if not (mask > 0).any():
        raise FileError(f"'mask' in '{path}' without any sampled line", "ones where lines were sampled", "correct it")
    return np.asarray(mask > 0, np.bool_)


def _picture_grid(
    file: h5py.File, shape: tuple[int, int], path: Path
) -> tuple[tuple[int, int], tuple[float, float, float]]:
    """The size of the pictures and the spacing of slices, rows and columns in mm, from ISMRMRD's header if there is."""
    header = file["ismrmrd_header"][()] if "ismrmrd_header" in file else b""
    section = _SIZES.search(header if isinstance(header, bytes) else bytes(header))
    if section is None:
        return shape, (1.0, 1.0, 1.0)
    rows, columns, _, height, width, depth = (  # x is the readout, which runs along rows
        float(re.findall(rb"<%b>\s*([\d.]+)\s*</%b>" % (axis, axis), section.group(0))[at])
        for at in (0, 1)
        for axis in (b"x", b"y", b"z")
    )
    if depth < max(height / rows, width / columns):
        raise FileError(
            f"slices of {depth:g} mm that are thinner than the pixels in '{path}'", "slices of one plane, not a block",
            "transform the block along its third axis first",
        )  # fmt: skip
    size = (min(int(rows), shape[0]), min(int(columns), shape[1]))
    return size, (depth, height / rows, width / columns)


def _frequencies(pictures: _Complex) -> _Complex:
    axes = (-2, -1)
    return np.asarray(fft.fftshift(fft.fft2(fft.ifftshift(pictures, axes), norm="ortho"), axes), np.complex64)


def _picture(kspace: _Complex) -> _Complex:
    axes = (-2, -1)
    return np.asarray(fft.fftshift(fft.ifft2(fft.ifftshift(kspace, axes), norm="ortho"), axes), np.complex64)


MEASUREMENT = KSpace
