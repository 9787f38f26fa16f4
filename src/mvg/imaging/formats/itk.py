"""MetaImage and NRRD through SimpleITK, whose coordinates are LPS and whose arrays are (z, y, x).

SimpleITK splits an affine into directions and spacings, which changes the last bits. MetaImage stores both, so they are
kept from reading to writing; NRRD stores their product, so its header is read and written here.
"""

import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import FileError, GeometryError
from mvg.imaging.formats import Stored
from mvg.imaging.segments import segments_header
from mvg.imaging.volume import Header, LabelMap, Volume

SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")

_NRRD = (".nrrd", ".nhdr")
_NRRD_WORLDS = {
    "left-posterior-superior": (-1.0, -1.0, 1.0), "lps": (-1.0, -1.0, 1.0),
    "right-anterior-superior": (1.0, 1.0, 1.0), "ras": (1.0, 1.0, 1.0),
    "left-anterior-superior": (-1.0, 1.0, 1.0), "las": (-1.0, 1.0, 1.0),
}  # fmt: skip
_GEOMETRY = re.compile(
    r"TransformMatrix|Offset|Position|Origin|Rotation|Orientation|ElementSpacing|ElementSize|space|spacings"
)
_DIRECTIONS = re.compile(r"\s*(TransformMatrix|Rotation|Orientation)\s*=")  # of MetaImage
_NUMBER = re.compile(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?")
_LARGEST = 1e12  # of numbers in a geometry
_MOST_AXES = 8  # of the space of an NRRD file
_MOST_LETTERS = 900  # in a field of an NRRD header; ITK writes beyond its memory about longer ones that it refuses
_ANY_LENGTH = re.compile(r"#|content:|[^:]*:=")  # comments, the description, and pairs of programs
_HEADER_BYTES = 1 << 22  # of a file, that are looked at
_SEGMENT = re.compile(r"(Segment\d+)_Name")  # of 3D Slicer
_VECTOR = re.compile(r"\(([^)]*)\)")

_LPS = np.array([-1.0, -1.0, 1.0])  # its own inverse
_SHEAR = 1e-3  # cosine between two axes beyond which a direction matrix no longer is a rotation
_NUMBERS = struct.Struct("<15d")  # origin 3, spacing 3, direction 9


def load(path: Path) -> Stored:
    """Reads the image; vector pixels become a last axis of colors."""
    lines = _header_lines(path)
    _check_header(path, lines)
    stored = stored_of(_image(path, _reader(path)))
    affine = _nrrd_affine(path, lines)
    if affine is not None:
        names = _segment_names(lines)
        header = None if names is None else segments_header(names, affine)
        return replace(stored, affine=affine, header=header)
    return stored if _places(path, lines) else replace(stored, header=_unplaced(stored.header))


def stored_of(image: Any) -> Stored:
    """The content of an image of SimpleITK, with the affine to RAS+ mm that its LPS geometry stands for."""
    import SimpleITK as sitk  # noqa: N813

    channels = image.GetNumberOfComponentsPerPixel()
    array = sitk.GetArrayFromImage(image)
    axes = range(image.GetDimension())
    voxels = array.transpose([*reversed(axes), *([image.GetDimension()] if channels > 1 else [])])
    if channels > 1 and image.GetDimension() == 2:
        voxels = voxels[:, :, None]
    origin, spacing, direction = _in_3d(image)
    affine = _affine(origin, spacing, direction)
    header = Header("itk", _NUMBERS.pack(*origin, *spacing, *direction.ravel()), affine.tobytes())
    return Stored(voxels, affine, header, "color" if channels > 1 else "time")


def save(volume: Volume | LabelMap, path: Path) -> None:
    """Writes compressed voxels; GeometryError for sheared axes in MetaImage, which holds a rotation and spacings."""
    import SimpleITK as sitk  # noqa: N813

    origin, spacing, direction = _geometry(volume, path)
    image: Any = sitk.GetImageFromArray(volume.voxels.transpose(2, 1, 0))
    image.SetOrigin(origin.tolist())
    image.SetSpacing(spacing.tolist())
    image.SetDirection(direction.ravel().tolist())
    with _silence():
        sitk.WriteImage(image, str(path), useCompression=True)
    if path.suffix.lower() in _NRRD:
        _spell_affine(path, volume.affine)
    _check_complete(path, volume.shape)


def _reader(path: Path) -> str:
    """The name of the ITK reader; without it, ITK tries all readers on a damaged file, and each prints an error."""
    return "NrrdImageIO" if path.suffix.lower() in _NRRD else "MetaImageIO"


def _nrrd_header(content: bytes) -> tuple[list[str], bytes]:
    """The lines of an NRRD header, and everything from its empty line on."""
    end = min((at for at in (content.find(b"\n\n"), content.find(b"\r\n\r\n")) if at >= 0), default=len(content))
    return content[:end].decode("latin-1").splitlines(), content[end:]


def _header_lines(path: Path) -> list[str]:
    """The lines of a header; of a MetaImage file, which has no empty line, some of its voxels too."""
    with path.open("rb") as file:
        lines, _ = _nrrd_header(file.read(_HEADER_BYTES))
    return lines


def _check_header(path: Path, lines: list[str]) -> None:
    """Raises ValueError for numbers and vectors that no header has: on some of them ITK crashes or never ends."""
    if path.suffix.lower() in _NRRD:
        lengths = [line.count(",") + 1 for line in lines if line.startswith("space origin:")]
        lengths += [vector.count(",") + 1 for line in lines for vector in _VECTOR.findall(line)]
        if max(lengths, default=0) > _MOST_AXES:
            raise ValueError(f"a vector of {max(lengths)} numbers in its header")
        longest = max((line for line in lines if not _ANY_LENGTH.match(line)), key=len, default="")
        if len(longest) > _MOST_LETTERS:
            raise ValueError(f"a field of {len(longest)} letters in its header ({longest[:20]}...)")
    for number in (number for line in lines if _GEOMETRY.match(line) for number in _NUMBER.findall(line)):
        if not abs(float(number)) < _LARGEST:
            raise ValueError(f"the number {number[:20]} in its header")


def _nrrd_affine(path: Path, lines: list[str]) -> NDArray[np.float64] | None:
    """The affine in an NRRD header; None for other files, fewer axes, or coordinate systems that ITK interprets."""
    if path.suffix.lower() not in _NRRD:
        return None
    fields = dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith("#"))
    world = next((signs for line in lines if (signs := _world(line))), None)
    directions = _VECTOR.findall(fields.get("space directions", ""))
    vectors = [*directions[:3], *_VECTOR.findall(fields.get("space origin", ""))]  # a fourth one is that of time
    if world is None or len(vectors) != 4 or len(directions) > 4:
        return None
    affine = np.eye(4)
    affine[:3] = np.array([[float(number) for number in vector.split(",")[:3]] for vector in vectors]).T
    affine[:3] *= np.array(world)[:, None]
    return affine


def _segment_names(lines: list[str]) -> dict[int, str] | None:
    """Label value -> name in a segmentation of 3D Slicer (.seg.nrrd); None for other files."""
    pairs = dict(line.split(":=", 1) for line in lines if ":=" in line)
    if "Segmentation_ReferenceImageExtentOffset" not in pairs:
        return None
    values = {match[1]: pairs.get(f"{match[1]}_LabelValue", "") for key in pairs if (match := _SEGMENT.fullmatch(key))}
    return {int(value): pairs[f"{segment}_Name"].strip() for segment, value in values.items() if value.isdecimal()}


def _places(path: Path, lines: list[str]) -> bool:
    """Whether a header that ITK interprets says where its voxels lie in the patient: NRRD does by its space alone."""
    if path.suffix.lower() in _NRRD:
        return any(_world(line) is not None for line in lines)
    return any(_DIRECTIONS.match(line) for line in lines)


def _unplaced(header: Header | None) -> Header | None:
    return None if header is None else replace(header, placed=False)


def _world(line: str) -> tuple[float, float, float] | None:
    """The signs that take an anatomical space, which a line of a header names, to RAS+; None for other lines."""
    name, _, space = line.partition(":")
    if name.strip().lower() != "space":
        return None
    space = space.strip().lower().removesuffix("-time")
    return _NRRD_WORLDS.get(space[:3] if len(space) == 4 and space[3] == "t" else space)


def _spell_affine(path: Path, affine: NDArray[np.float64]) -> None:
    lines, rest = _nrrd_header(path.read_bytes())
    vectors = ["(" + ",".join(repr(float(number)) for number in column) + ")" for column in (affine[:3].T * _LPS)]
    spelled = {"space directions": " ".join(vectors[:3]), "space origin": vectors[3]}
    lines = [f"{name}: {spelled[name]}" if (name := line.split(": ")[0]) in spelled else line for line in lines]
    path.write_bytes("\n".join(lines).encode("latin-1") + (rest or b"\n"))


def dicom_pixels(path: Path) -> NDArray[Any]:
    """The first frame (rows, cols) of a DICOM file, rescaled, read with the decoders of ITK."""
    import SimpleITK as sitk  # noqa: N813

    return np.asarray(sitk.GetArrayFromImage(_image(path, "GDCMImageIO"))[0])


def _image(path: Path, reader: str) -> Any:
    import SimpleITK as sitk  # noqa: N813

    with _silence():
        return sitk.ReadImage(str(path), imageIO=reader)


@contextmanager
def _silence() -> Iterator[None]:
    """Hides the errors that ITK prints on the terminal before it raises."""
    try:
        terminal = os.dup(2)
    except OSError:  # there is none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)


def _check_complete(path: Path, shape: tuple[int, int, int]) -> None:
    """Reads the file again, because ITK's writers do not report a full disk."""
    if _image(path, _reader(path)).GetSize() != shape:
        raise FileError(f"'{path.name}' was written in part", "a whole file", "free space on the disk")


def _geometry(volume: Volume | LabelMap, path: Path) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    source = volume.header
    if source is not None and source.kind == "itk" and source.affine == volume.affine.tobytes():
        numbers = np.array(_NUMBERS.unpack(source.content))
        return numbers[:3], numbers[3:6], numbers[6:].reshape(3, 3)
    spacing = np.array(volume.spacing)
    direction = _LPS[:, None] * volume.affine[:3, :3] / spacing
    shear = np.abs(direction.T @ direction - np.eye(3)).max()
    if shear > _SHEAR and path.suffix.lower() in _NRRD:
        direction = np.eye(3)  # until `_spell_affine` writes vectors of any direction
        shear = 0.0
    if shear > _SHEAR:
        raise GeometryError(
            f"axes that are not at right angles (cosine {shear:.3f}) for '{path}'",
            "a rotation and spacings, because this format holds no others",
            "write .nii.gz instead",
        )
    return _LPS * volume.affine[:3, 3], spacing, direction


def _affine(origin: NDArray[Any], spacing: NDArray[Any], direction: NDArray[Any]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = _LPS[:, None] * direction * spacing
    affine[:3, 3] = _LPS * origin
    return affine


def _in_3d(image: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Origin, spacing and direction of the first three axes; pictures get a third axis."""
    count = image.GetDimension()
    used = min(count, 3)
    origin, spacing, direction = np.zeros(3), np.ones(3), np.eye(3)
    origin[:used] = image.GetOrigin()[:used]
    spacing[:used] = image.GetSpacing()[:used]
    direction[:used, :used] = np.array(image.GetDirection()).reshape(count, count)[:used, :used]
    return origin, spacing, direction
