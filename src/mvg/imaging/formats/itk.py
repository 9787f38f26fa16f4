"""MetaImage and NRRD through SimpleITK, whose world is LPS and whose arrays are (z, y, x)."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import FileProblem, GeometryProblem
from mvg.imaging.formats import Stored
from mvg.imaging.volume import Header, LabelMap, Volume

SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")

_LPS = np.array([-1.0, -1.0, 1.0])  # its own inverse
_SHEAR = 1e-3  # cosine between two axes beyond which a direction matrix no longer is a rotation
_NUMBERS = struct.Struct("<15d")  # origin 3, spacing 3, direction 9


def load(path: Path) -> Stored:
    """The image; vector pixels become a last axis of colors."""
    import SimpleITK as sitk  # noqa: N813

    image: Any = sitk.ReadImage(str(path), imageIO=_reader(path))
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
    """Writes compressed voxels; GeometryProblem for sheared axes, which no rotation and spacing can express."""
    import SimpleITK as sitk  # noqa: N813

    origin, spacing, direction = _geometry(volume, path)
    image: Any = sitk.GetImageFromArray(volume.voxels.transpose(2, 1, 0))
    image.SetOrigin(origin.tolist())
    image.SetSpacing(spacing.tolist())
    image.SetDirection(direction.ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=True)
    _check_complete(path, volume.shape)


def _reader(path: Path) -> str:
    """The one reader to use: ITK would try them all on a damaged file, and each complains on its own."""
    return "MetaImageIO" if path.suffix.lower() in (".mha", ".mhd") else "NrrdImageIO"


def _check_complete(path: Path, shape: tuple[int, int, int]) -> None:
    """ITK's writers do not report a full disk: what they wrote is read once more."""
    import SimpleITK as sitk  # noqa: N813

    image: Any = sitk.ReadImage(str(path), imageIO=_reader(path))
    if image.GetSize() != shape:
        raise FileProblem(f"'{path.name}' was written in part", "a whole file", "free space on the disk")


def _geometry(volume: Volume | LabelMap, path: Path) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    source = volume.header
    if source is not None and source.kind == "itk" and source.affine == volume.affine.tobytes():
        numbers = np.array(_NUMBERS.unpack(source.content))
        return numbers[:3], numbers[3:6], numbers[6:].reshape(3, 3)
    spacing = np.array(volume.spacing)
    direction = _LPS[:, None] * volume.affine[:3, :3] / spacing
    shear = np.abs(direction.T @ direction - np.eye(3)).max()
    if shear > _SHEAR:
        raise GeometryProblem(
            f"axes that are not at right angles (cosine {shear:.3f}) for '{path}'",
            "a rotation and spacings, all that this format holds",
            "write .nii.gz instead",
        )
    return _LPS * volume.affine[:3, 3], spacing, direction


def _affine(origin: NDArray[Any], spacing: NDArray[Any], direction: NDArray[Any]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = _LPS[:, None] * direction * spacing
    affine[:3, 3] = _LPS * origin
    return affine


def _in_3d(image: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Origin, spacing and direction of the first three axes; a third axis is made up for pictures."""
    count = image.GetDimension()
    used = min(count, 3)
    origin, spacing, direction = np.zeros(3), np.ones(3), np.eye(3)
    origin[:used] = image.GetOrigin()[:used]
    spacing[:used] = image.GetSpacing()[:used]
    direction[:used, :used] = np.array(image.GetDirection()).reshape(count, count)[:used, :used]
    return origin, spacing, direction
