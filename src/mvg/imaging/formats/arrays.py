"""Plain arrays: npz and HDF5 files with the entries `voxels` (X, Y, Z) and `affine` (4, 4) to RAS+ mm."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import FileError
from mvg.imaging.formats import Stored
from mvg.imaging.volume import LabelMap, Volume

SUFFIXES = (".npz", ".h5", ".hdf5")


def load(path: Path) -> Stored:
    """Reads both entries; objects and pickles are refused."""
    if path.suffix.lower() == ".npz":
        with np.load(path, allow_pickle=False) as entries:
            _check(entries.files, path)
            return Stored(_array(entries["voxels"], path), _array(entries["affine"], path))
    import h5py

    with h5py.File(path, "r") as file:
        _check(file.keys(), path)
        return Stored(np.asarray(file["voxels"]), np.asarray(file["affine"]))


def save(volume: Volume | LabelMap, path: Path) -> None:
    """Writes both entries, with compressed voxels."""
    if path.suffix.lower() == ".npz":
        with path.open("wb") as stream:
            np.savez_compressed(stream, voxels=volume.voxels, affine=volume.affine)
        return
    import h5py

    content = BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset("voxels", data=volume.voxels, compression="gzip", compression_opts=4)
        file.create_dataset("affine", data=volume.affine)
    path.write_bytes(content.getvalue())  # HDF5's own writing ends in disorder on a full disk


def _array(entry: object, path: Path) -> NDArray[Any]:
    """An entry of an npz file, which gives one without numpy's header as bytes."""
    if not isinstance(entry, np.ndarray):
        raise FileError(f"an entry of '{path}' is no array", "arrays as numpy saves them", "save it again")
    return entry


def _check(names: Iterable[str], path: Path) -> None:
    entries = sorted(names)
    if not {"voxels", "affine"} <= set(entries):
        raise FileError(
            f"'{path}' holds {', '.join(entries) or 'nothing'}", "the entries voxels and affine", "save it with both"
        )
