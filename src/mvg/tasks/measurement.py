"""What a scanner measured, before it is a picture: raw data that a prediction must agree with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import h5py
import numpy as np
from numpy.typing import NDArray

from mvg._plugins import contributions
from mvg.errors import FileError
from mvg.imaging.volume import Volume
from mvg.tasks import operators


@runtime_checkable
class Measurement(Protocol):
    """Raw data of the slices of one volume, and how they were measured.

    grid: a volume on the grid of the pictures; its own voxels mean nothing. Pictures are (n, rows, cols) along its
    plane, in the intensities of the volume.
    """

    @property
    def grid(self) -> Volume:
        """The grid of the reconstructed volume."""
        ...

    @classmethod
    def recognizes(cls, names: Sequence[str]) -> bool:
        """Whether an HDF5 file with these data sets holds such raw data."""
        ...

    @classmethod
    def read(cls, file: h5py.File, path: Path) -> "Measurement":
        """The raw data of an open file. Raises FileError for what does not fit together."""
        ...

    @classmethod
    def check(cls, clean: Volume, level: float) -> None:
        """Raise PromptError for a volume or a level that cannot be measured."""
        ...

    @classmethod
    def simulate(cls, clean: Volume, level: float, rng: np.random.Generator) -> "Measurement":
        """Measure a clean volume; `level`: of the task that this is for."""
        ...

    def write(self, file: h5py.File) -> None:
        """Write the raw data into an open file, as `read` takes it."""
        ...

    def alike(self, clean: Volume, rng: np.random.Generator) -> "Measurement":
        """Measure another volume in the same way."""
        ...

    def initial(self) -> NDArray[np.float32]:
        """The pictures that the raw data give without any other knowledge."""
        ...

    def consistent(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """The pictures, changed to agree with the raw data."""
        ...

    def subset(self, numbers: Sequence[int], grid: Volume) -> "Measurement":
        """Some of the slices; `grid`: theirs."""
        ...


def as_volume(measurement: Measurement, pictures: NDArray[np.float32]) -> Volume:
    """Pictures (n, rows, cols) as a volume on the grid of the measurement."""
    volume = measurement.grid.from_pictures(np.asarray(pictures, np.float32), measurement.grid.plane)
    assert isinstance(volume, Volume)
    return volume


def read_measurement(path: Path) -> Measurement:
    """The raw data in an HDF5 file, whatever they are. Raises FileError, which says what is expected."""
    kinds: dict[str, Any] = {name: module.MEASUREMENT for name, module in contributions(operators).items()}
    try:
        with h5py.File(path, "r") as file:
            names = sorted(file)
            for kind in kinds.values():
                if kind.recognizes(names):
                    measurement: Measurement = kind.read(file, path)
                    return measurement
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise FileError(
            f"'{path}' cannot be read ({error})", "raw data in HDF5", "check the path, or write the file again"
        ) from error
    raise FileError(
        f"'{path}' holds {', '.join(names) or 'nothing'}",
        "'kspace' (as fastMRI has it), or 'sinogram' and 'angles'",
        "name the data sets of the file so",
    )


def checked(data: NDArray[Any], name: str, path: Path) -> NDArray[Any]:
    """The array, where all values are finite; FileError otherwise."""
    if data.size == 0 or not np.isfinite(data).all():
        state = "is empty" if data.size == 0 else "has NaN or infinite values"
        raise FileError(f"'{name}' in '{path}' {state}", "finite raw data", "write the file again")
    return data


def axial_grid(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Volume:
    """A grid of axial slices (n, rows, cols) for raw data that do not say where they lie; spacing in mm likewise."""
    count, rows, columns = shape
    thickness, row, column = spacing
    return Volume(np.zeros((columns, rows, count), np.float32), np.diag([-column, -row, thickness, 1.0]))
