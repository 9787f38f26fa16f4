"""Damages that leave the checksums of a container right, so that what lies behind them is tried too."""

import gzip
import hashlib
import json
import random
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Any

from tests.fuzz.mutations import Damaged, mutate

_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 256, 2**31, 10**30, 0.5, 1e308, float("nan"), "", "a", "ignore", "\x00", "\u2028", [], [1],
    [[1, 2], [3]], {}, {"a": 1}, [None], "9" * 400,
)  # fmt: skip


def mutate_inside(kind: str, content: bytes, generator: random.Random) -> Damaged:
    """A damage to what a container of this kind holds; to the bytes themselves where there is no container."""
    change = _INSIDE.get(kind)
    if change is None:
        return mutate(content, generator)
    name, changed = change(content, generator)
    return Damaged(changed, f"{name} inside")


def damage_json(content: bytes, generator: random.Random) -> tuple[str, bytes]:
    """A few entries of a JSON text are other values, missing, or under another key."""
    document = json.loads(content)
    for _ in range(generator.randint(1, 3)):
        holder, key = generator.choice(list(_entries({"all": document}, None)))
        change = generator.choice(("value", "value", "missing", "key"))
        if change == "value" or not isinstance(holder, dict):
            holder[key] = generator.choice(_VALUES)
        else:
            value = holder.pop(key)
            if change == "key":
                holder[str(generator.choice(_VALUES))] = value
    return "JSON", json.dumps(document).encode()


def with_sha256(config: bytes, weights: bytes) -> bytes:
    """The config of weights, with the checksum of damaged ones."""
    document = json.loads(config)
    return json.dumps(document | {"sha256": hashlib.sha256(weights).hexdigest()}).encode()


def _entries(holder: Any, parent: Any) -> Any:
    """(holder, key) of every entry below a value, apart from the outermost."""
    keys = list(holder) if isinstance(holder, dict) else range(len(holder))
    for key in keys:
        if parent is not None:
            yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _entries(holder[key], holder)


def _gzipped(content: bytes, generator: random.Random) -> tuple[str, bytes]:
    damaged = mutate(gzip.decompress(content), generator)
    return damaged.name, gzip.compress(damaged.content, 1)


def _zipped(content: bytes, generator: random.Random) -> tuple[str, bytes]:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = generator.choice(sorted(members))
    damaged = mutate(members[name], generator)
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, whole in members.items():
            archive.writestr(member, damaged.content if member == name else whole)
    return f"{damaged.name} of {name}", stream.getvalue()


def _tensors(content: bytes, generator: random.Random) -> tuple[str, bytes]:
    """The header of a safetensors file with other entries, or numbers that are not finite in its tensors."""
    (size,) = struct.unpack("<Q", content[:8])
    header, data = content[8 : 8 + size], content[8 + size :]
    if generator.random() < 0.5:
        name, header = damage_json(header, generator)
        if generator.random() < 0.5:
            metadata = json.loads(content[8 : 8 + size]).get("__metadata__", {})
            name, header = _with_metadata(content[8 : 8 + size], metadata, generator)
        return name, struct.pack("<Q", len(header)) + header + data
    at = generator.randrange(max(1, len(data) - 64))
    return "numbers", content[: 8 + size] + data[:at] + b"\xff" * 64 + data[at + 64 :]


def _with_metadata(header: bytes, metadata: dict[str, str], generator: random.Random) -> tuple[str, bytes]:
    """The header with damage to the JSON that one entry of its metadata holds."""
    if not metadata:
        return damage_json(header, generator)
    name = generator.choice(sorted(metadata))
    try:
        _, text = damage_json(metadata[name].encode(), generator)
    except (ValueError, IndexError, TypeError):
        text = str(generator.choice(_VALUES)).encode()
    document = json.loads(header)
    document["__metadata__"][name] = text.decode()
    return f"metadata {name}", json.dumps(document).encode()


_INSIDE: dict[str, Callable[[bytes, random.Random], tuple[str, bytes]]] = {
    ".nii.gz": _gzipped, ".mgz": _gzipped, ".npz": _zipped, ".zip": _zipped, "dataset.json": damage_json,
    "config.json": damage_json, "task": _tensors, "weights": _tensors,
}  # fmt: skip
