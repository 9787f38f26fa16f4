"""Displacement fields: where each point of a fixed image lies in a moving one; warping, and files that ITK reads."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg._atomic import atomic_file, unwritable
from mvg.errors import FileError, GeometryError
from mvg.imaging.formats import nifti
from mvg.imaging.volume import LabelMap, Volume

DISPLACEMENT, VECTOR = 1006, 1007
"""NIfTI's intents of displacements, whose vectors are RAS, and of plain vectors, which ANTs writes in LPS."""
_TO_RAS = np.array([-1, -1, 1], np.float32)
_EDGE = 1e-6  # voxels; a point this near to the edge of an image lies inside


@dataclass(frozen=True, eq=False)
class DisplacementField:
    """Vectors (X, Y, Z, 3) in millimeters, LPS: the point p of the fixed image lies at p + vector in the moving image.

    fixed: the image on whose grid the vectors lie. Raises GeometryError for vectors of another shape, or NaN.
    """

    vectors: NDArray[np.float32]
    fixed: Volume

    def __post_init__(self) -> None:
        if self.vectors.shape != (*self.fixed.shape, 3):
            raise GeometryError(
                f"vectors of shape {self.vectors.shape}", f"{(*self.fixed.shape, 3)}", "use the grid of the fixed image"
            )
        if not np.isfinite(self.vectors).all():
            raise GeometryError("a field with NaN or infinite vectors", "finite vectors", "compute it again")

    def warp(self, moving: Volume) -> Volume:
        """The moving image on the fixed grid, by linear interpolation; outside of the moving image, its minimum."""
        from scipy import ndimage

        index, outside = self._points(moving)
        channels = moving.voxels[..., None] if moving.channels == 1 else moving.voxels
        parts = np.moveaxis(channels, -1, 0)
        warped = [ndimage.map_coordinates(part, index, order=1, mode="nearest") for part in parts]
        voxels = np.stack(warped, axis=-1)
        voxels[outside] = moving.voxels.min()
        return Volume(voxels, self.fixed.affine, self.fixed.header)

    def warp_labels(self, labels: LabelMap) -> LabelMap:
        """Labels of the moving image on the fixed grid, each of the nearest voxel; 0 outside of them."""
        index, outside = self._points(labels)
        nearest = np.rint(index).astype(np.intp)
        x, y, z = (np.clip(axis, 0, length - 1) for axis, length in zip(nearest, labels.shape, strict=True))
        voxels = labels.voxels[x, y, z]
        voxels[outside] = 0
        return LabelMap(voxels, self.fixed.affine, self.fixed.header)

    def determinants(self) -> NDArray[np.float32]:
        """The local change of volume (X, Y, Z), by central differences; negative or 0 where space folds."""
        to_voxels = np.linalg.inv(self.fixed.affine[:3, :3]).astype(np.float32)
        steps = (self.vectors * _TO_RAS) @ to_voxels.T
        matrix = np.tile(np.eye(3, dtype=np.float32), (*self.fixed.shape, 1, 1))
        for axis, length in enumerate(self.fixed.shape):
            if length > 1:
                matrix[..., axis] += np.gradient(steps, axis=axis)
        return np.asarray(np.linalg.det(matrix), np.float32)

    @property
    def folded(self) -> float:
        """The share of voxels where space folds."""
        return float((self.determinants() <= 0).mean())

    def _points(self, moving: Volume | LabelMap) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Where the voxels lie in an image, as its indices (3, X, Y, Z), and which lie outside of it."""
        to_moving = np.linalg.inv(moving.affine)
        matrix = to_moving @ self.fixed.affine
        grid = np.indices(self.fixed.shape, np.float32)
        index = np.einsum("ij,jxyz->ixyz", matrix[:3, :3], grid, dtype=np.float64) + matrix[:3, 3].reshape(3, 1, 1, 1)
        index += np.einsum("ij,xyzj->ixyz", to_moving[:3, :3], self.vectors * _TO_RAS)
        lengths = np.array(moving.shape).reshape(3, 1, 1, 1)
        outside = ((index < -0.5 - _EDGE) | (index > lengths - 0.5 + _EDGE)).any(axis=0)
        return index, outside


def write_field(field: DisplacementField, path: Path) -> None:
    """Write a field as NIfTI of intent 1006 (X, Y, Z, 1, 3), whole or not at all.

    NIfTI wants such vectors in RAS. ITK, and with it SimpleITK and ANTs, turns them to LPS when it reads them.
    Raises FileError where the file cannot be written.
    """
    import nibabel

    vectors = (field.vectors * _TO_RAS)[:, :, :, None]
    header = nifti.header_for(field.fixed, vectors.shape, np.dtype(np.float32))
    header.set_intent(DISPLACEMENT)
    image_class: Any = nibabel.Nifti2Image if header.sizeof_hdr == 540 else nibabel.Nifti1Image
    with atomic_file(path, partial(unwritable, path)) as temporary:
        image_class(vectors, None, header).to_filename(temporary)


def is_field(path: Path) -> bool:
    """Whether a file holds vectors in NIfTI, so that `read_field` can read it."""
    import nibabel

    if not path.name.lower().endswith(nifti.SUFFIXES):
        return False
    try:
        header: Any = nibabel.load(path).header
    except Exception:  # whoever reads it reports it
        return False
    return int(header["intent_code"]) in (DISPLACEMENT, VECTOR)


def read_field(path: Path, fixed: Volume) -> DisplacementField:
    """Read a field on the grid of a fixed image: of intent 1006 in RAS, or of 1007 in LPS, as ANTs writes.

    Raises FileError for other files, GeometryError for another grid.
    """
    import nibabel

    try:
        image: Any = nibabel.load(path)
        intent, voxels = int(image.header["intent_code"]), np.asarray(image.dataobj, np.float32)
    except Exception as error:
        raise FileError(f"'{path}' cannot be read as a field", "NIfTI vectors", "write the field again") from error
    if intent not in (DISPLACEMENT, VECTOR) or voxels.ndim != 5 or voxels.shape[3:] != (1, 3):
        raise FileError(
            f"'{path}' of shape {voxels.shape} and intent {intent}",
            f"vectors (X, Y, Z, 1, 3) of intent {DISPLACEMENT} or {VECTOR}",
            "write the field as NIfTI",
        )
    grid = Volume(voxels[..., 0, 0], image.affine)
    if not grid.same_grid(fixed, tolerance=0.1):
        raise GeometryError(f"the field '{path}' on another grid", "the grid of its fixed image", "resample the field")
    vectors = voxels[:, :, :, 0]
    return DisplacementField(vectors * _TO_RAS if intent == DISPLACEMENT else vectors, fixed)
