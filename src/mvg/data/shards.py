"""Shards: the slices of a prepared set in tar files, which any number of machines read from a folder or object store.

    FOLDER/SET/00000.tar     WebDataset samples, one per slice: NUMBER.images.npy, NUMBER.labels.npy,
                             NUMBER.targets.npy (as far as the set has them) and NUMBER.json
    FOLDER/SET/slices.json   the index of the store, and where each slice lies in which shard; written last

The programs of WebDataset read the shards in order. Training reads single slices by their position: the requests of a
step depend on the seed alone, so they are the same as from the store, on any number of machines.
"""

import io
import json
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg._remote import Address, is_url, join, public, read_bytes, read_range, write_bytes
from mvg.data.store_index import INDEX, read_index
from mvg.errors import FileError

Arrays = dict[str, NDArray[Any]]
"""The layers of one slice, "images", "labels" and "targets", as far as the set has them."""
SHARD_BYTES = 128 * 2**20
"""About how large a shard is: large enough to be streamed, small enough for the memory of whoever writes it."""
_BLOCK = 512  # of a tar file


@dataclass(frozen=True, eq=False)
class ShardReader:
    """Reads single slices of one set from its shards. Safe from several threads.

    folder: of the set; layers: name, dtype, shape, and the first byte of the values within the range of a slice;
    size: of that range in bytes; shards: names of files; shard_of, offsets, checksums: per slice its shard, the first
    byte of its range, and the CRC-32 of the range.
    """

    folder: Address
    layers: tuple[tuple[str, str, tuple[int, ...], int], ...]
    size: int
    shards: tuple[str, ...]
    shard_of: NDArray[np.int64]
    offsets: NDArray[np.int64]
    checksums: NDArray[np.int64]

    @classmethod
    def of(cls, folder: Address, table: dict[str, Any]) -> "ShardReader":
        """The reader of the set in `folder`; table: the entry "shards" of its index."""
        counts = [count for _, count in table["files"]]
        layers = tuple((name, dtype, tuple(shape), start) for name, dtype, shape, start in table["layers"])
        names = tuple(name for name, _ in table["files"])
        shard_of = np.repeat(np.arange(len(names)), counts)
        return cls(
            folder, layers, table["size"], names, shard_of, np.array(table["offsets"]), np.array(table["checksums"])
        )

    def read(self, number: int) -> Arrays:
        """The layers of one slice. Raises FileError where its bytes are missing or not those that were written."""
        address = join(self.folder, self.shards[self.shard_of[number]])
        start = int(self.offsets[number])
        content = read_range(address, start, start + self.size)
        if zlib.crc32(content) != self.checksums[number]:
            raise FileError(
                f"slice {number} in '{public(address)}' is damaged",
                f"{self.size} bytes from byte {start} on with the checksum in {INDEX}",
                "write the shards again",
            )
        return {
            name: np.frombuffer(content, dtype, prod(shape), start).reshape(shape)
            for name, dtype, shape, start in self.layers
        }


def write_shards(store: Path, folder: Address, shard_bytes: int = SHARD_BYTES) -> list[Address]:
    """Write every set of a prepared store as shards; returns the addresses of the sets.

    A set whose shards are complete and of this store stays untouched; the same store gives the same bytes. folder: a
    path or a URL. Raises FileError for a store that is not prepared, and where `folder` cannot be written.
    """
    indices = sorted(Path(store).glob(f"*/{INDEX}"))
    if not indices:
        raise FileError(f"'{store}' holds no prepared set", "a store that 'mvg prepare' wrote", "prepare it first")
    if not is_url(folder) and Path(folder).resolve() == Path(store).resolve():
        raise FileError(f"'{folder}' is the store itself", "a folder apart from it", "choose another folder")
    return [_write_set(path.parent, join(folder, path.parent.name), shard_bytes) for path in indices]


def _write_set(source: Path, folder: Address, shard_bytes: int) -> Address:
    index = read_index(source)
    if not _is_complete(index, folder):
        if not is_url(folder):
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / INDEX).unlink(missing_ok=True)  # it must never describe other shards
        arrays = {name.removesuffix(".npy"): np.load(source / name, mmap_mode="r") for name in index["arrays"]}
        table = _write_files(arrays, _descriptions(index), folder, shard_bytes)
        content = {**index, "arrays": [], "shards": table}
        write_bytes(join(folder, INDEX), json.dumps(content).encode())
    return folder


def _is_complete(index: dict[str, Any], folder: Address) -> bool:
    """Whether the shards in `folder` are those of the store with this index."""
    try:
        written = json.loads(read_bytes(join(folder, INDEX)))
        return bool({**written, "arrays": index["arrays"]} == {**index, "shards": written["shards"]})
    except (FileError, ValueError, KeyError):
        return False


def _descriptions(index: dict[str, Any]) -> list[dict[str, Any]]:
    """What NUMBER.json says of each slice, for other programs: mvg itself reads the index."""
    return [
        {"case": case["name"], "patient": case["patient"], "index": index, "split": case.get("split")}
        for case in index["cases"]
        for index in range(case["count"])
    ]


def _write_files(
    arrays: dict[str, NDArray[Any]], descriptions: Sequence[dict[str, Any]], folder: Address, shard_bytes: int
) -> dict[str, Any]:
    """Write the shards of a set; the entry "shards" of its index."""
    count = len(descriptions)
    sample_bytes = sum(array[0].nbytes + 2 * _BLOCK for array in arrays.values()) + 3 * _BLOCK
    per_shard = max(1, shard_bytes // sample_bytes)
    files, offsets, checksums, layout = [], list[int](), list[int](), _Layout((), 0)
    for number, first in enumerate(range(0, count, per_shard)):
        name, numbers = f"{number:05d}.tar", range(first, min(first + per_shard, count))
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for slice_number in numbers:
                layers = {layer: np.ascontiguousarray(array[slice_number]) for layer, array in arrays.items()}
                offset, layout = tar.offset, _add_sample(tar, slice_number, layers, descriptions[slice_number])
                offsets.append(offset)
        content = buffer.getvalue()
        checksums += [zlib.crc32(content[start : start + layout.size]) for start in offsets[first:]]
        write_bytes(join(folder, name), content)
        files.append([name, len(numbers)])
    return {
        "files": files, "size": layout.size, "layers": [list(layer) for layer in layout.layers],
        "offsets": offsets, "checksums": checksums,
    }  # fmt: skip


@dataclass(frozen=True)
class _Layout:
    """How the range of a slice is laid out, as in `ShardReader`; it is the same for all slices of a set."""

    layers: tuple[tuple[str, str, list[int], int], ...]
    size: int


def _add_sample(tar: tarfile.TarFile, number: int, layers: Arrays, description: dict[str, Any]) -> _Layout:
    start, size, positions = tar.offset, 0, []
    for name, array in layers.items():
        content = io.BytesIO()
        np.save(content, array, allow_pickle=False)
        size = tar.offset + _BLOCK + len(content.getvalue()) - start
        positions.append((name, array.dtype.str, list(array.shape), size - array.nbytes))
        _add_file(tar, f"{number:09d}.{name}.npy", content.getvalue())
    _add_file(tar, f"{number:09d}.json", json.dumps(description).encode())
    return _Layout(tuple(positions), size)


def _add_file(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)  # with time 0, so that the same slices give the same bytes
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
