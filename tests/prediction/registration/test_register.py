"""Registration recovers known changes of made images, in both directions, and refuses what cannot be aligned."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import ndimage

from mvg.errors import GeometryError, UnknownNameError
from mvg.imaging.displacement import DisplacementField
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.registration.register import Registration, RegistrationOptions, register
from tests.prediction.registration.scenes import AFFINE, affine_field, body, dice, smooth_field


@dataclass(frozen=True, eq=False)
class Scene:
    """An image and its labels before and after a known field, and their registration."""

    moving: Volume
    labels: LabelMap
    field: DisplacementField
    fixed: Volume
    truth: LabelMap
    registration: Registration


def on_another_grid(volume: Volume) -> Volume:
    """The same image with axes in another order, one of them turned around."""
    affine = volume.affine[:, [1, 0, 2, 3]].copy()
    affine[:, 3] += affine[:, 0] * (volume.shape[1] - 1)
    affine[:, 0] *= -1
    return Volume(volume.voxels.transpose(1, 0, 2)[::-1].copy(), affine)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A body before and after a known deformation, registered."""
    moving, labels = body()
    field = smooth_field(moving, 7.0)
    fixed = field.warp(moving)
    return Scene(moving, labels, field, fixed, field.warp_labels(labels), register(moving, fixed))


def test_a_smooth_deformation_is_recovered_without_folds(scene: Scene) -> None:
    assert scene.registration.warped.affine.tobytes() == scene.fixed.affine.tobytes()
    assert scene.registration.warped.shape == scene.fixed.shape
    result = scene.registration.field
    assert dice(scene.labels, scene.truth) < 0.88
    assert dice(result.warp_labels(scene.labels), scene.truth) > 0.92
    assert result.folded == 0
    inside = scene.truth.voxels > 0
    errors = np.linalg.norm(result.vectors - scene.field.vectors, axis=-1)[inside]
    assert errors.mean() < 0.7 * np.linalg.norm(scene.field.vectors, axis=-1)[inside].mean()


def test_grids_may_differ(scene: Scene) -> None:
    turned = on_another_grid(scene.moving)
    assert np.abs(turned.resample(scene.moving).voxels - scene.moving.voxels).max() < 1e-3, "the same image in space"
    other = register(turned, scene.fixed)
    assert other.warped.shape == scene.fixed.shape
    assert np.abs(scene.registration.field.vectors - other.field.vectors).mean() < 0.3, "mm, of voxels of 2 mm and more"


def test_an_affine_map_is_recovered_from_far_away() -> None:
    moving, labels = body()
    matrix = np.eye(4)
    turn = np.deg2rad(10)
    matrix[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    matrix[:3, :3] *= 1.08
    matrix[:3, 3] = 14, -9, 4
    field = affine_field(moving, matrix)
    fixed, truth = field.warp(moving), field.warp_labels(labels)
    registration = register(moving, fixed, RegistrationOptions(transform="affine"))
    assert dice(labels, truth) < 0.7
    assert dice(registration.field.warp_labels(labels), truth) > 0.85
    steps = registration.field.vectors
    assert np.abs(np.diff(steps, 2, axis=0)).max() < 1e-3, "an affine map is straight"


def rest_of_a_round_trip(moving: Volume, fixed: Volume, there: DisplacementField) -> tuple[float, float]:
    """Mean length in mm, within the fixed body, of what there and back leave, and of the way there."""
    back = register(fixed, moving).field
    grid = np.einsum("ij,jxyz->xyzi", fixed.affine[:3, :3], np.indices(fixed.shape)) + fixed.affine[:3, 3]
    to_moving = np.linalg.inv(moving.affine)
    points = np.einsum("ij,xyzj->ixyz", to_moving[:3, :3], grid + there.vectors * [-1, -1, 1])
    points += to_moving[:3, 3].reshape(3, 1, 1, 1)
    parts = np.moveaxis(back.vectors, -1, 0)
    returns = [ndimage.map_coordinates(part, points, order=1, mode="nearest") for part in parts]
    rest = there.vectors + np.stack(returns, axis=-1)
    inside = fixed.voxels > 50
    lengths = (np.linalg.norm(vectors, axis=-1)[inside].mean() for vectors in (rest, there.vectors))
    return next(lengths), next(lengths)


def test_there_and_back_leaves_little(scene: Scene) -> None:
    rest, way = rest_of_a_round_trip(scene.moving, scene.fixed, scene.registration.field)
    assert way > 1.0
    assert rest < 0.15 * way


def test_there_and_back_leaves_little_between_two_grids(scene: Scene) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] *= 1.1
    matrix[:3, 3] = 9, -6, 3
    moving = on_another_grid(affine_field(scene.moving, matrix).warp(scene.moving))
    rest, way = rest_of_a_round_trip(moving, scene.fixed, register(moving, scene.fixed).field)
    assert way > 5.0
    assert rest < 0.1 * way


def test_two_slices_are_aligned_within_their_plane() -> None:
    moving, labels = body((64, 60, 1))
    field = smooth_field(moving, 8.0)
    fixed, truth = field.warp(moving), field.warp_labels(labels)
    registration = register(moving, fixed)
    assert dice(registration.field.warp_labels(labels), truth) > dice(labels, truth) + 0.02
    assert np.abs(registration.field.vectors[..., 2]).max() < 1e-4
    assert registration.field.folded == 0


def test_a_registration_is_the_same_each_time() -> None:
    moving, _ = body((40, 36, 6))
    fixed = smooth_field(moving, 6.0).warp(moving)
    assert np.array_equal(register(moving, fixed).field.vectors, register(moving, fixed).field.vectors)


class TestWhatCannotBeRegistered:
    def test_images_without_overlap(self) -> None:
        moving, _ = body()
        affine = AFFINE.copy()
        affine[0, 3] += 500
        with pytest.raises(GeometryError, match="without overlap; expected images that overlap"):
            register(moving, Volume(moving.voxels, affine))

    def test_a_slice_and_a_volume(self) -> None:
        with pytest.raises(GeometryError, match="a single axial slice and a fixed one that is a volume"):
            register(body((48, 44, 1))[0], body()[0])

    def test_slices_of_two_planes(self) -> None:
        axial, _ = body((48, 44, 1))
        coronal = Volume(axial.voxels.transpose(0, 2, 1).copy(), AFFINE)
        with pytest.raises(GeometryError, match="a single axial slice and a fixed one that is a single coronal slice"):
            register(axial, coronal)

    def test_channels_that_do_not_fit(self) -> None:
        gray, _ = body((48, 44, 1))
        colors = Volume(np.repeat(gray.voxels[..., None], 3, axis=3), AFFINE)
        with pytest.raises(GeometryError, match="a moving image of 3 channels and a fixed one of 1"):
            register(colors, gray)

    @pytest.mark.parametrize(("value", "message"), [(np.nan, "NaN or infinite"), (None, "of one intensity, 7")])
    def test_images_without_content(self, value: float | None, message: str) -> None:
        good, _ = body()
        voxels = np.full(good.shape, 7.0) if value is None else np.where(np.indices(good.shape)[0] == 0, value, 1)
        with pytest.raises(GeometryError, match=message):
            register(Volume(voxels, AFFINE), good)

    def test_names_that_do_not_exist(self) -> None:
        with pytest.raises(UnknownNameError, match="flexible"):
            replace(RegistrationOptions(), transform="rigid")

    def test_a_field_of_another_shape(self) -> None:
        with pytest.raises(GeometryError, match="use the grid of the fixed image"):
            DisplacementField(np.zeros((2, 2, 2, 3), np.float32), body()[0])
