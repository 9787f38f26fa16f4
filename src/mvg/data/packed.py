"""A packed store: the training slices of a prepared store in one small file, for a machine that little can be sent to.

    FILE.zip    SET/slices.json          as in the store, for the slices that are kept
                SET/images.npy           (n, C, s, s) uint8, numbers of levels
                SET/images_levels.npy    (256,) uint16, what the levels stand for
                SET/labels.npy, SET/targets.npy, SET/targets_levels.npy    as far as the set has them

Pictures are made smaller by whole factors, and intensities are rounded to 256 levels for each set: half of them
evenly spaced, half where its pixels are, so that soft tissue in a full window of CT keeps its contrasts. A set counts
by its patients to the power 0.4, as in training, and gets no more than it needs; a set whose slices take many bytes
gets more bytes, but fewer slices. Volumes are thinned evenly. `unpack_store` makes a prepared store of it again.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg._atomic import atomic_file, atomic_folder, unwritable
from mvg.data.store_index import INDEX, read_index
from mvg.data.thinning import Thinned, fair_shares, spread, thinned
from mvg.errors import FileError

LEVELS = 256
_PROBES = 6  # slices that tell how many bytes a slice of a set takes
_TRIES = 4
_MARGIN = 0.97  # of the bytes, that a next try aims at


@dataclass(frozen=True)
class PackedStore:
    """What was packed. slices: set -> number of slices; left_out: sets without a training patient."""

    bytes: int
    slices: dict[str, int]
    left_out: tuple[str, ...]


def pack_store(store: Path, file: Path, most_bytes: int, side: int) -> PackedStore:
    """Write the slices of training patients to a file of at most `most_bytes`.

    side: pictures are reduced by the factor that brings them closest to it, in pixels. The same store gives the same
    bytes. Raises FileError for a store that is not prepared, and for bytes that do not hold a slice of each set.
    """
    folders = [path.parent for path in sorted(Path(store).glob(f"*/{INDEX}"))]
    if not folders:
        raise FileError(f"'{store}' holds no prepared set", "a store that 'mvg prepare' wrote", "prepare it first")
    sources = [_Source(folder, read_index(folder), side) for folder in folders]
    useful = [source for source in sources if source.numbers]
    left_out = tuple(source.folder.name for source in sources if not source.numbers)
    aim = float(most_bytes)
    for _ in range(_TRIES):
        counts = _slice_counts(useful, aim)
        size = _write(useful, counts, file, most_bytes)
        if size <= most_bytes:
            names = (source.folder.name for source in useful)
            return PackedStore(size, dict(zip(names, counts, strict=True)), left_out)
        aim *= _MARGIN * most_bytes / size
    raise FileError(
        f"{most_bytes} bytes for {len(useful)} sets", "room for a slice of each", "allow more, or make pictures smaller"
    )


def _slice_counts(sources: "list[_Source]", most_bytes: float) -> list[int]:
    needs = [source.slice_bytes * len(source.numbers) for source in sources]
    weights = [source.patients**0.4 * source.slice_bytes**0.5 for source in sources]
    shares = fair_shares(needs, weights, most_bytes)
    return [max(1, int(share / source.slice_bytes)) for share, source in zip(shares, sources, strict=True)]


def _write(sources: "list[_Source]", counts: list[int], file: Path, most_bytes: int) -> int:
    """Write the file if it is small enough; returns its size."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for source, count in zip(sources, counts, strict=True):
            for name, content in source.members(count).items():
                entry = zipfile.ZipInfo(f"{source.folder.name}/{name}")  # without a time
                archive.writestr(entry, content, zipfile.ZIP_LZMA)
    if buffer.tell() <= most_bytes:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file, partial(unwritable, file)) as temporary:
            temporary.write_bytes(buffer.getvalue())
    return buffer.tell()


class _Source:
    """The training slices of one prepared set, and what packing makes of them."""

    def __init__(self, folder: Path, index: dict[str, Any], side: int) -> None:
        self.folder, self.index = folder, index
        self.factor = max(1, round(index["side"] / side))
        self.numbers = [number for case in _training_cases(index) for number in case.numbers]
        self.patients = len({case.entry["patient"] for case in _training_cases(index)})
        self.slice_bytes = self._measured() if self.numbers else 0.0

    def _measured(self) -> float:
        """Bytes that a slice takes in the file, with its part of the index."""
        count = min(_PROBES, len(self.numbers))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in self.members(count).items():
                archive.writestr(name, content, zipfile.ZIP_LZMA)
        return buffer.tell() / count

    def members(self, count: int) -> dict[str, bytes]:
        """The files of the set with this many slices."""
        kept = spread(_training_cases(self.index), count)
        result = thinned(self.folder, self.index, kept, self.factor)
        content = {INDEX: json.dumps(result.index).encode()}
        for name, array in result.arrays.items():
            if array.dtype == np.uint16:
                levels = levels_of(array)
                content[f"{name}_levels.npy"] = _as_bytes(levels)
                content[f"{name}.npy"] = _as_bytes(in_levels(array, levels))
            else:
                content[f"{name}.npy"] = _as_bytes(array)
        return content


def _training_cases(index: dict[str, Any]) -> list[Thinned]:
    return [case for case in Thinned.all_of(index) if case.is_training]


def levels_of(pictures: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Rising intensities from 0 to the largest one: half evenly spaced, half as frequent as pixels that are not 0."""
    lit = np.sort(pictures[pictures > 0])
    values = np.arange(2**16)
    frequent = np.searchsorted(lit, values, side="right") / max(1, len(lit))
    position = (values / values[-1] + frequent) / 2
    return np.interp(np.linspace(0, position[-1], LEVELS), position, values).round().astype(np.uint16)


def in_levels(pictures: NDArray[np.uint16], levels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """The number of the nearest level of each pixel."""
    middles = (levels[1:].astype(np.float64) + levels[:-1]) / 2
    nearest = np.searchsorted(middles, np.arange(2**16)).astype(np.uint8)
    return nearest[pictures]


def unpack_store(file: Path, folder: Path) -> Path:
    """Make a prepared store of a packed one, in place of another one in `folder`, which is returned.

    Raises FileError for another or a damaged file; then the folder stays as it was.
    """
    try:
        with zipfile.ZipFile(file) as archive, atomic_folder(folder) as fresh:
            for index in (name for name in archive.namelist() if name.endswith(f"/{INDEX}")):
                _unpack_set(archive, index.removesuffix(f"/{INDEX}"), fresh)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(
            f"cannot unpack {file} ({getattr(error, 'strerror', None) or error})",
            "a file of 'mvg pack-store', and space for what is in it",
            "copy or pack it again",
        ) from error
    return folder


def _unpack_set(archive: zipfile.ZipFile, name: str, folder: Path) -> None:
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    index = json.loads(archive.read(f"{name}/{INDEX}"))
    members = set(archive.namelist())
    for array_name in index["arrays"]:
        array = _from_bytes(archive.read(f"{name}/{array_name}"))
        levels = f"{name}/{array_name.removesuffix('.npy')}_levels.npy"
        np.save(target / array_name, _from_bytes(archive.read(levels))[array] if levels in members else array)
    (target / INDEX).write_text(json.dumps(index), encoding="utf-8")


def _as_bytes(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _from_bytes(content: bytes) -> NDArray[Any]:
    return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
