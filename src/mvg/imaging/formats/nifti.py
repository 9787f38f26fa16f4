"""NIfTI-1 and NIfTI-2, plain or gzipped. Geometry fields of the header are kept, so affines return bit for bit."""

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.imaging.formats import Stored
from mvg.imaging.volume import Header, LabelMap, Volume

SUFFIXES = (".nii", ".nii.gz")

_GEOMETRY = (
    "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip
SAME_POSITION = 0.5
"""Voxels between the corners by sform and by qform that may be rounding."""

_MILLIMETERS = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
_NATIVE = (np.uint8, np.int16, np.int32, np.uint16)  # integers that every reader knows, best known first


def load(path: Path) -> Stored:
    """Reads the whole file at once, so that a damaged end is noticed."""
    import nibabel

    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    sizes = {int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big")}
    if not sizes & {348, 540}:
        raise ValueError("it has no NIfTI header")
    content = _with_offset(content, 540 in sizes)
    image: Any = (nibabel.Nifti2Image if 540 in sizes else nibabel.Nifti1Image).from_bytes(content)
    voxels = image.dataobj  # memory is taken as its header says, so that is checked first
    expected = int(voxels.offset) + math.prod(map(int, voxels.shape)) * voxels.dtype.itemsize
    if expected > len(content):
        raise ValueError(f"it has {len(content)} bytes, and its header names {expected}")
    return stored_of(image)


def _with_offset(content: bytes, is_second: bool) -> bytes:
    """The content of a single file with its voxels behind the header, where a header of version 1 or 2 places them
    within itself: 0 there means the usual place.
    """
    order = "<" if int.from_bytes(content[:4], "little") in (348, 540) else ">"
    field, start, usual = (np.dtype(f"{order}i8"), 168, 544) if is_second else (np.dtype(f"{order}f4"), 108, 352)
    offset = np.frombuffer(content[start : start + field.itemsize], field)
    if not offset.size or not offset[0] < usual - 4:
        return content
    return content[:start] + np.array(usual, field).tobytes() + content[start + field.itemsize :]


def stored_of(image: Any) -> Stored:
    """The content of an image of nibabel; the header is kept where it describes the image's affine bit for bit."""
    import nibabel

    voxels = np.asanyarray(image.dataobj)
    color = bool(voxels.dtype.names)
    if color:
        voxels = np.stack([voxels[name] for name in voxels.dtype.names or ()], axis=-1)
    affine, header = np.array(image.affine, np.float64), None
    if isinstance(image.header, nibabel.Nifti1Header):  # Nifti2Header too
        described = np.array_equal(affine, image.header.get_best_affine())
        affine = _in_mm(affine, image.header)
        kind = "nifti2" if image.header.sizeof_hdr == 540 else "nifti1"
        placed = bool(image.header["sform_code"] or image.header["qform_code"])
        header = Header(kind, image.header.binaryblock, affine.tobytes(), placed) if described else None
    return Stored(voxels, affine, header, "color" if color else "time")


def save(volume: Volume | LabelMap, path: Path) -> None:
    """Writes float32, or the smallest common integer type that holds the labels."""
    import nibabel

    voxels = _storable(volume)
    header = header_for(volume, voxels.shape, voxels.dtype)
    image_class: Any = nibabel.Nifti2Image if header.sizeof_hdr == 540 else nibabel.Nifti1Image
    # Without an affine, nibabel keeps the geometry of the header.
    image_class(voxels, None, header).to_filename(path)


def disagreement_of_positions(header: Header | None) -> float:
    """How far apart the sform and the qform of a NIfTI header place a corner, in voxels; 0 where they agree or one is
    missing. The sform is what is used. A qform holds no shear, so that of the sform does not count.
    """
    from nibabel.spatialimages import HeaderDataError

    fields = _fields(header)
    if fields is None or fields["sform_code"] == 0 or fields["qform_code"] == 0:
        return 0.0
    without_shear = type(fields)()
    try:
        without_shear.set_data_shape(fields.get_data_shape())
        without_shear.set_qform(fields.get_sform(), strip_shears=True)
        difference = without_shear.get_qform() - fields.get_qform()
    except (ValueError, HeaderDataError, np.linalg.LinAlgError):  # a damaged qform says nothing
        return 0.0
    lengths = [*fields.get_data_shape(), 1, 1, 1][:3]
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
    corners[:, :3] *= np.array(lengths) - 1
    distance = np.linalg.norm((corners @ difference.T)[:, :3], axis=1).max()
    voxels = float(distance / np.linalg.norm(fields.get_sform()[:3, :3], axis=0).min())
    return voxels if np.isfinite(voxels) else 0.0


def _fields(header: Header | None) -> Any:
    """The header as nibabel has it; None where it is not that of a NIfTI file."""
    import nibabel

    if header is None or not header.kind.startswith("nifti"):
        return None
    kind: Any = nibabel.Nifti2Image if header.kind == "nifti2" else nibabel.Nifti1Image
    return kind.header_class(header.content, check=False)


def header_for(volume: Volume | LabelMap, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """A nibabel header for an array of that shape and type on the volume's grid."""
    import nibabel

    source = volume.header
    if source is not None and not (source.kind.startswith("nifti") and source.affine == volume.affine.tobytes()):
        source = None  # the grid has changed, or the header belongs to another format
    second = source is not None and source.kind == "nifti2"
    header_class: Any = (nibabel.Nifti2Image if second else nibabel.Nifti1Image).header_class
    header = header_class()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    if source is None:
        header.set_xyzt_units("mm")
        header.set_sform(volume.affine, code="scanner")
        header.set_qform(volume.affine, code="scanner", strip_shears=True)
        return header
    original = header_class(_native(source.content, header_class), check=False)
    for field in _GEOMETRY:
        header[field] = original[field]
    return header


def _in_mm(affine: NDArray[np.float64], header: Any) -> NDArray[np.float64]:
    """The affine in mm; a header may name other units."""
    scale = _MILLIMETERS.get(header.get_xyzt_units()[0], 1.0)
    if scale != 1:
        affine[:3] *= scale
    return affine


def _native(content: bytes, header_class: Any) -> bytes:
    """The header block in the byte order of this machine."""
    header = header_class(content, check=False)
    return bytes(header.as_byteswapped("<").binaryblock if header.endianness != "<" else content)


def _storable(volume: Volume | LabelMap) -> NDArray[Any]:
    if isinstance(volume, Volume):
        return volume.voxels
    low, high = int(volume.voxels.min()), int(volume.voxels.max())
    for kind in (*_NATIVE, np.uint32, np.int64, np.uint64):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return volume.voxels.astype(kind)
    raise AssertionError("an integer fits one of numpy's types")
