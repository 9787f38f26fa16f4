"""MGH and MGZ, the format of FreeSurfer. Geometry fields of the header are kept, so affines return bit for bit."""

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.formats import Stored
from mvg.imaging.volume import Header, LabelMap, Volume

SUFFIXES = (".mgh", ".mgz")

_GEOMETRY = ("goodRASFlag", "delta", "Mdc", "Pxyz_c")
_INTEGERS = (np.uint8, np.int16, np.int32)


def load(path: Path) -> Stored:
    """Reads the whole file at once, so that a damaged end is noticed."""
    from nibabel.freesurfer.mghformat import MGHImage

    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    header_class: Any = MGHImage.header_class
    size = header_class.template_dtype.itemsize  # with what lies behind the voxels
    header = header_class(content[:size].ljust(size, b"\0"), check=False)
    if header["version"] != 1:
        raise ValueError("it has no MGH header")
    shape = tuple(int(length) for length in header["dims"])
    expected = int(header.get_data_offset()) + math.prod(shape) * header.get_data_dtype().itemsize
    if min(shape) < 1 or expected > len(content):  # memory is taken as the header says, so that is checked first
        raise ValueError(f"it has {len(content)} bytes, and its header names {expected}")
    image: Any = MGHImage.from_bytes(content)
    affine = np.array(image.affine, np.float64)
    placed = bool(image.header["goodRASFlag"] == 1)
    kept = Header("mgh", image.header.binaryblock, affine.tobytes(), placed)
    return Stored(np.asanyarray(image.dataobj), affine, kept)


def save(volume: Volume | LabelMap, path: Path) -> None:
    """Writes float32, or the smallest of three integer types; ValueError for labels that none of them holds."""
    from nibabel.freesurfer.mghformat import MGHImage

    voxels = _storable(volume)
    header: Any = MGHImage.header_class()
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape)
    source = volume.header
    if source is None or source.kind != "mgh" or source.affine != volume.affine.tobytes():
        MGHImage(voxels, volume.affine, header).to_filename(path)
        return
    original: Any = MGHImage.header_class(source.content, check=False)
    for field in _GEOMETRY:
        header[field] = original[field]
    MGHImage(voxels, None, header).to_filename(path)


def _storable(volume: Volume | LabelMap) -> NDArray[Any]:
    if isinstance(volume, Volume):
        return volume.voxels
    low, high = int(volume.voxels.min()), int(volume.voxels.max())
    for kind in _INTEGERS:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return volume.voxels.astype(kind)
    raise ValueError(f"labels from {low} to {high}")
