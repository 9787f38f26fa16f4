"""Arrays on their way: slices as compressed bytes, volumes as the NIfTI files that the server makes."""

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNKNOWN = 255
"""The class number of pixels that a correction says nothing about."""

_KINDS = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 128: "u1", 256: "i1", 512: "u2", 768: "u4"}
_COLORS = 128


def pack(numbers: NDArray[Any]) -> str:
    """Class numbers of a slice as base64 of zlib of its bytes, the first axis fastest."""
    pixels = np.asarray(numbers)
    if pixels.ndim != 2 or pixels.min() < 0 or pixels.max() > UNKNOWN:
        raise ValueError(f"a slice of shape {pixels.shape} with values {pixels.min()} to {pixels.max()}; expected two "
                         f"axes and class numbers from 0 to {UNKNOWN}")  # fmt: skip
    return base64.b64encode(zlib.compress(pixels.astype(np.uint8).tobytes(order="F"), 1)).decode("ascii")


def unpack(text: str, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The inverse of `pack`."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(shape, order="F")


def volume(content: bytes) -> NDArray[Any]:
    """The voxels (x, y, z), or (x, y, z, 3) of colors, in a NIfTI file as the server makes it."""
    if len(content) < 352 or struct.unpack_from("<i", content)[0] != 348:
        raise ValueError("a reply that is no NIfTI file; expected one of an mvg server")
    dimensions = struct.unpack_from("<8h", content, 40)
    kind, offset = struct.unpack_from("<h", content, 70)[0], int(struct.unpack_from("<f", content, 108)[0])
    shape = tuple(dimensions[1 : dimensions[0] + 1])
    shape = shape + (1,) * (3 - len(shape))
    if kind == _COLORS:
        colors = np.frombuffer(content, np.uint8, 3 * int(np.prod(shape)), offset)
        return colors.reshape((3, *shape), order="F").transpose(1, 2, 3, 0)
    voxels = np.frombuffer(content, np.dtype(f"<{_KINDS[kind]}"), int(np.prod(shape)), offset)
    return voxels.reshape(shape, order="F")
