"""Registration of two images: affine, then deformable, as a displacement field on the grid of the fixed image."""

from dataclasses import dataclass, replace

import numpy as np

from mvg.errors import GeometryError, UnknownNameError
from mvg.imaging.conversion import ImageLike, as_volume
from mvg.imaging.displacement import DisplacementField
from mvg.imaging.volume import Volume, luminance
from mvg.prediction.registration.affine import align
from mvg.prediction.registration.deform import coarse_velocity, fine_velocity
from mvg.prediction.registration.deformation import positions
from mvg.prediction.registration.descriptors import resemblance
from mvg.prediction.registration.grid import Picture, WorkingGrid, moved
from mvg.prediction.registration.spatial_map import SpatialMap

TRANSFORMS: tuple[str, ...] = ("affine", "stiff", "flexible")
"""From the fewest freedoms to the most; each goes on from the one before."""
LEAST_RESEMBLANCE = 0.2
_OVERLAP_POINTS = 32  # along each axis


@dataclass(frozen=True)
class RegistrationOptions:
    """How two images are registered.

    transform: "affine", "stiff" (one that changes slowly) or "flexible"; most_voxels: of the working grid. Raises
    UnknownNameError for other names.
    """

    transform: str = "flexible"
    most_voxels: int = 500_000

    def __post_init__(self) -> None:
        if self.transform not in TRANSFORMS:
            raise UnknownNameError("transform", self.transform, TRANSFORMS)


@dataclass(frozen=True, eq=False)
class Registration:
    """A moving image that was aligned with a fixed one.

    field: from points of the fixed image to the moving one, on the fixed grid; warped: the moving image on that grid.
    resemblance: how the warped image follows the fixed one within 5 x 5 x 5 voxels, -1 to 1. It is negative where
    bright and dark are reversed; below `LEAST_RESEMBLANCE` contrasts differ or the images were not aligned.
    """

    field: DisplacementField
    warped: Volume
    resemblance: float


def register(moving: ImageLike, fixed: ImageLike, options: RegistrationOptions | None = None) -> Registration:
    """Align a moving image with a fixed one; they may lie on different grids.

    Raises GeometryError for images without overlap, of one slice against several, of different channels, with NaN, or
    of one intensity.
    """
    options = options or RegistrationOptions()
    moving, fixed = as_volume(moving, "the moving image"), as_volume(fixed, "the fixed image")
    moving, fixed = comparable(moving, fixed)
    field = registration_fields(moving, fixed, options)[options.transform]
    warped = field.warp(moving)
    return Registration(field, warped, resemblance(warped.voxels, fixed.voxels))


def registration_fields(moving: Volume, fixed: Volume, options: RegistrationOptions) -> dict[str, DisplacementField]:
    """The fields of the transform in the options and of those with fewer freedoms, for images that are `comparable`."""
    pictures = Picture.of(fixed), Picture.of(moving)
    # Both directions are computed as one, from the same reference, so that they are inverse to one another.
    turned = _extent_key(moving, pictures[1]) < _extent_key(fixed, pictures[0])
    reference, still, other = (moving, *pictures[::-1]) if turned else (fixed, *pictures)
    grid = WorkingGrid.over(reference, options.most_voxels)
    transform = align(still, other, grid)
    maps = {"affine": SpatialMap(grid, transform)}
    if options.transform != "affine":
        maps |= _deformed(still, other, maps["affine"], options)
    return {name: _field(fixed, there.inverse if turned else there) for name, there in maps.items()}


def _extent_key(volume: Volume, picture: Picture) -> tuple[float, ...]:
    """What orders two images: the smaller region, then fewer voxels, then the darker one."""
    cells = int(np.prod(volume.shape))
    size = round(cells * abs(float(np.linalg.det(volume.affine[:3, :3]))), 3)
    return size, float(cells), float(picture.intensities.double().mean())


def _deformed(
    still: Picture, other: Picture, aligned: SpatialMap, options: RegistrationOptions
) -> dict[str, SpatialMap]:
    grid = aligned.grid
    first, _ = still.on(grid)
    second, inside = other.on(grid, aligned.transform)
    velocity = coarse_velocity((first, second), inside, grid)
    maps = {"stiff": replace(aligned, velocity=velocity)}
    if options.transform == "flexible":
        maps["flexible"] = replace(aligned, velocity=fine_velocity((first, second), inside, grid, velocity))
    return maps


def comparable(moving: Volume, fixed: Volume) -> tuple[Volume, Volume]:
    """Both images with one channel; GeometryError, which says why, where they cannot be registered."""
    if moving.channels != fixed.channels:
        raise GeometryError(
            f"a moving image of {moving.channels} channels and a fixed one of {fixed.channels}",
            "the same channels in both",
            "choose a channel of each",
        )
    moving, fixed = luminance(moving), luminance(fixed)
    for name, image in (("moving", moving), ("fixed", fixed)):
        low, high = float(image.voxels.min()), float(image.voxels.max())
        if not np.isfinite([low, high]).all():
            raise GeometryError(f"a {name} image with NaN or infinite voxels", "finite intensities", "replace them")
        if low == high:
            raise GeometryError(f"a {name} image of one intensity, {low:g}", "an image with contrast", "replace it")
    slices = [1 in image.shape for image in (moving, fixed)]
    if slices[0] != slices[1] or (slices[0] and moving.plane != fixed.plane):
        raise GeometryError(
            f"a moving image that is {_kind(moving)} and a fixed one that is {_kind(fixed)}",
            "two volumes, or two slices of one plane",
            "register images of the same kind",
        )
    _check_overlap(moving, fixed)
    return moving, fixed


def _kind(image: Volume) -> str:
    return f"a single {image.plane} slice" if 1 in image.shape else "a volume"


def _check_overlap(moving: Volume, fixed: Volume) -> None:
    to_moving = np.linalg.inv(moving.affine) @ fixed.affine
    axes = [np.linspace(-0.5, n - 0.5, min(n, _OVERLAP_POINTS) + 1) for n in fixed.shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    index = to_moving[:3, :3] @ grid + to_moving[:3, 3:]
    lengths = np.array(moving.shape)[:, None]
    if not ((index >= -0.5) & (index <= lengths - 0.5)).all(axis=0).any():
        raise GeometryError(
            f"a moving image {_extent(moving)} and a fixed one {_extent(fixed)}, without overlap",
            "images that overlap in space",
            "check that they are of one region, or correct the position of one",
        )


def _extent(image: Volume) -> str:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * np.array(image.shape) - 0.5
    points = corners @ image.affine[:3, :3].T + image.affine[:3, 3]
    spans = zip("xyz", points.min(axis=0), points.max(axis=0), strict=True)
    return "from " + ", ".join(f"{axis} {low:.0f} to {high:.0f}" for axis, low, high in spans) + " mm"


def _field(fixed: Volume, there: SpatialMap) -> DisplacementField:
    """The field of a map from the fixed image to the moving one, on the grid of the fixed image."""
    points = moved(fixed.affine, positions(fixed.shape))
    vectors = (there(points) - points)[0].permute(1, 2, 3, 0).numpy() * np.array([-1, -1, 1], np.float32)
    return DisplacementField(np.ascontiguousarray(vectors), fixed)
