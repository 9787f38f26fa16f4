"""Images as users have them in memory or on disk: nibabel, SimpleITK, paths, and arrays with an affine.

nibabel's affines map to RAS+ mm, as ours. SimpleITK's geometry is LPS, and its arrays run (z, y, x). Both are converted
exactly. Neither library is imported here unless the caller has imported it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import FileError, GeometryError, MvgError, first_line
from mvg.imaging.files import read, read_labels
from mvg.imaging.formats import Stored, itk, nifti
from mvg.imaging.stored_images import labels_of, volume_of
from mvg.imaging.volume import LabelMap, Volume

ImageLike = Any
"""A Volume, a path, an image of nibabel or SimpleITK, or (array, affine) with the affine to RAS+ mm."""
LabelsLike = Any
"""A LabelMap, or any `ImageLike` that holds whole numbers."""
_LIBRARIES = {"nibabel", "SimpleITK"}


def as_volume(image: ImageLike, name: str = "the image") -> Volume:
    """The image as a Volume, on its own grid; a Volume is returned unchanged.

    name: for messages. Raises FileError for a path or an image of another library that cannot be read (see
    `mvg.imaging.files.read`), GeometryError for an array or affine that is no volume, and for other types.
    """
    if isinstance(image, Volume):
        return image
    if isinstance(image, str | Path):
        return read(image)
    if isinstance(image, tuple):
        array, affine = _pair(image, name)
        return Volume(array, affine)
    return volume_of(_stored(image, name), name)


def as_labels(image: LabelsLike, name: str = "the label map") -> LabelMap:
    """The labels as a LabelMap, on their own grid; a LabelMap is returned unchanged.

    Floats are accepted when all are whole numbers. Errors are those of `as_volume`, and FileError for fractions.
    """
    if isinstance(image, LabelMap):
        return image
    if isinstance(image, str | Path):
        return read_labels(image)
    if isinstance(image, Volume):
        return labels_of(Stored(image.voxels, image.affine, image.header), name)
    if isinstance(image, tuple):
        return labels_of(Stored(*_pair(image, name)), name)
    return labels_of(_stored(image, name), name)


def is_image(image: object) -> bool:
    """Whether this is one image, and not a sequence of images; some images can be indexed too."""
    return isinstance(image, Volume | LabelMap | str | Path | np.ndarray) or bool(_LIBRARIES & _libraries(image))


def _pair(image: tuple[Any, ...], name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The array and the affine of a tuple."""
    try:
        array, affine = map(np.asarray, image)
    except ValueError:  # another number of values, or nested lists that are no array
        array = affine = np.zeros(0)
    if array.dtype.kind not in "biuf" or array.ndim < 3 or affine.dtype.kind not in "iuf":
        raise GeometryError(
            f"{name} is a tuple of {', '.join(type(one).__qualname__ for one in image) or 'nothing'}",
            "(array, affine) with an array of numbers (X, Y, Z) and an affine (4, 4)",
            "hand over both",
        )
    return array, affine


def _libraries(image: object) -> set[str]:
    """The names of the packages that an object's class and its bases come from."""
    return {kind.__module__.partition(".")[0] for kind in type(image).__mro__}


def _stored(image: Any, name: str) -> Stored:
    """The content of an image of another library."""
    libraries = _libraries(image)
    try:
        if "nibabel" in libraries and getattr(image, "affine", None) is not None:
            return nifti.stored_of(image)
        if "SimpleITK" in libraries and hasattr(image, "GetDirection"):
            return itk.stored_of(image)
    except MvgError:
        raise
    except Exception as error:  # the voxels of an image of nibabel may still lie on disk
        raise FileError(
            f"{name} cannot be read ({first_line(error)})", "an image with its voxels", "load it again"
        ) from error
    raise GeometryError(
        f"{name} is of the type {type(image).__module__}.{type(image).__qualname__}",
        "a Volume or LabelMap, a path, an image of nibabel or SimpleITK, or (array, affine)",
        "convert it",
    )
