"""The degradations of the restoration kinds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mvg._plugins import contributions
from mvg.data import Card, Store, open_folder, prepare
from mvg.imaging.volume import Volume
from mvg.tasks import evaluated_tasks, kinds, tasks_for
from mvg.tasks.restoration import Degradation, averaged
from mvg.tasks.tomography import even_angles, filtered_backprojection, nearest_consistent, projections
from mvg.training.task_sources import task_sources
from tests.data.folders import make_mri, write_description
from tests.tasks.test_kinds import prepared, task_of

DEGRADATIONS: dict[str, Degradation] = {
    name: kind.DEGRADATION for name, kind in contributions(kinds).items() if hasattr(kind, "DEGRADATION")
}


def phantom(side: int = 96, slices: int = 2) -> NDArray[np.float32]:
    """A disk of 0.5 with a brighter and a darker disk inside, on black (n, side, side)."""
    y, x = (np.mgrid[:side, :side] - (side - 1) / 2) / side
    picture = 0.5 * (np.hypot(x, y) < 0.4) + 0.3 * (np.hypot(x - 0.15, y) < 0.1) - 0.2 * (np.hypot(x, y + 0.2) < 0.08)
    return np.repeat(picture[None].astype(np.float32), slices, axis=0)


def degraded(kind: str, level: float, seed: int = 0) -> NDArray[np.float32]:
    return DEGRADATIONS[kind].degrade(phantom(), level, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", sorted(DEGRADATIONS))
class TestEveryDegradation:
    def test_the_spec_names_the_file(self, kind: str) -> None:
        assert DEGRADATIONS[kind].spec.kind == kind
        assert DEGRADATIONS[kind].spec.residual

    def test_the_first_level_changes_the_picture_and_another_changes_it_otherwise(self, kind: str) -> None:
        first, second = (degraded(kind, level) for level in DEGRADATIONS[kind].levels)
        assert first.shape == phantom().shape
        assert first.dtype == np.float32
        assert np.abs(first - phantom()).mean() > 1e-3
        assert not np.allclose(first, second)

    def test_a_volume_keeps_its_grid_and_its_range(self, kind: str) -> None:
        affine = np.array([[0, -2.0, 0, 7], [1.5, 0, 0, 3], [0, 0, 4, -5], [0, 0, 0, 1]])
        clean = Volume(np.moveaxis(phantom(), 0, -1) * 900 + 20, affine)
        result = DEGRADATIONS[kind].degraded(clean, DEGRADATIONS[kind].levels[0], np.random.default_rng(0), "other")
        assert result.same_grid(clean)
        assert np.array_equal(result.affine, clean.affine)
        assert result.voxels.min() >= clean.voxels.min() - 1e-3
        assert result.voxels.max() <= clean.voxels.max() + 1e-3
        assert not np.allclose(result.voxels, clean.voxels)


def test_blocks_are_averaged_and_straight_lines_stay_straight_between_their_centers() -> None:
    ramp = np.arange(24.0)
    result = averaged(24, 4, 0) @ ramp
    assert np.allclose(result[2:22], ramp[2:22])
    assert np.allclose(averaged(24, 4, 0) @ (np.arange(24) % 2), 0.5)


def test_thick_slices_lie_along_rows_alone() -> None:
    columns = np.broadcast_to(np.arange(32, dtype=np.float32) % 2, (1, 32, 32))
    degrade, rng = DEGRADATIONS["thick_slices"].degrade, np.random.default_rng(0)
    assert np.allclose(degrade(columns, 4.0, rng), columns)
    assert degrade(np.swapaxes(columns, 1, 2), 4.0, rng)[0, 4:-4].std() < 0.1


def test_a_third_of_the_slices_is_missing_and_the_others_are_unchanged() -> None:
    picture = np.ones((1, 90, 20), np.float32)
    missing = DEGRADATIONS["missing_slices"].degrade(picture, 3.0, np.random.default_rng(1))[0] == 0
    assert missing.mean() == pytest.approx(1 / 3)
    assert (missing.all(axis=1) | ~missing.any(axis=1)).all()


def test_a_bias_field_is_smooth_and_bounded() -> None:
    ratio = np.log(degraded("bias_field", 0.5)[phantom() > 0] / phantom()[phantom() > 0])
    assert 0.2 < np.abs(ratio).max() <= 0.5 + 1e-5
    field = np.log(DEGRADATIONS["bias_field"].degrade(np.ones((3, 64, 64), np.float32), 0.5, np.random.default_rng(2)))
    assert np.abs(np.diff(field, axis=1)).max() < 0.06


def test_ghosts_spread_along_the_phase_encoding_direction() -> None:
    outside = np.zeros((96, 96), np.bool_)
    outside[:8] = True  # above and below the body
    ghosts = degraded("motion_ghosts", 0.5)[0]
    assert ghosts[outside].mean() > 3 * ghosts[outside.T & ~outside].mean()


def test_rings_are_constant_along_circles_and_alike_in_all_slices() -> None:
    change = degraded("ring_artifacts", 60.0) - phantom()
    assert np.allclose(change[0], change[1], atol=1e-6)
    assert np.allclose(change[0], np.rot90(change[0]), atol=1e-5)
    assert change.std() * 2000 == pytest.approx(60 * 0.3**0.5, rel=0.5)


def test_streaks_reach_far_from_the_metal() -> None:
    result = degraded("metal_streaks", 2.0)[0]
    metal = result > 2
    assert 0 < metal.mean() < 0.02
    change = np.abs(result - phantom()[0])[~metal]
    assert np.quantile(change, 0.99) > 0.02


def test_speckle_grows_with_brightness() -> None:
    change, clean = np.abs(degraded("speckle", 0.4) - phantom()), phantom()
    assert (change[clean == 0] == 0).all()
    assert change[clean > 0.7].mean() > 1.3 * change[(clean > 0.4) & (clean < 0.6)].mean()


def test_cards_offer_what_fits_their_modality() -> None:
    def kinds_of(modality: str, **changes: Any) -> set[str]:
        return {task.kind for task in tasks_for(Card("x", "x", modality, "", ("image",), **changes))}

    assert {"bias_field", "motion_ghosts", "contrast_change", "thick_slices"} <= kinds_of("MRI")
    assert {"ring_artifacts", "metal_streaks", "super_resolution"} <= kinds_of("CT", units="HU")
    assert kinds_of("ultrasound") == {"speckle"}
    assert not kinds_of("CT", image_target="MR", image_task="synthesis") & set(DEGRADATIONS)


class TestSkullStripping:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = make_mri(tmp_path / "heads", {"pat1": (60, 64, 3)})
        return write_description(
            folder, channel_names={"0": "T1"}, modality="MRI", labels={"gray matter": 1, "skull": 2}
        )

    def test_the_target_is_the_brain_alone(self, folder: Path) -> None:
        stored = prepared(folder)
        task = task_of(stored, "skull_stripping:T1")
        (image,), target = task.pair(stored[0], np.random.default_rng(0))
        brain = stored[0].labels == 1
        assert np.array_equal(target[brain], image[brain])
        assert (target[~brain] == 0).all()
        assert [task.accepts(row) for row in stored.rows] == [True, True, False]

    def test_labels_without_anything_around_the_brain_do_not_offer_it(self) -> None:
        card = Card("x", "x", "MRI", "brain", ("T1",), labels={1: "gray matter", 2: "white matter"})
        assert "skull_stripping" not in {task.kind for task in tasks_for(card)}


class TestTomography:
    def test_a_disk_is_reconstructed_from_many_views(self) -> None:
        angles, picture = even_angles(160), phantom(slices=1)
        result = filtered_backprojection(projections(picture, angles), angles, 96)
        assert np.abs(result - picture)[0, 8:-8, 8:-8].mean() < 0.03

    def test_projections_keep_the_sum_of_a_picture(self) -> None:
        sinogram = projections(phantom(slices=1), even_angles(7))
        assert np.allclose(sinogram.sum(axis=-1), phantom(slices=1).sum(), rtol=1e-4)

    def test_consistency_makes_projections_those_that_were_measured(self) -> None:
        angles, picture = even_angles(12), phantom(slices=1)
        sinogram = projections(picture, angles)
        result = nearest_consistent(np.zeros_like(picture), sinogram, angles, 30)
        assert np.abs(projections(result, angles) - sinogram).mean() < 0.01 * sinogram.mean()
        assert np.allclose(nearest_consistent(picture, sinogram, angles, 5), picture, atol=1e-4)


def test_restoration_is_evaluated_and_trained_where_it_is_named(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"pat1": (40, 48, 3), "pat2": (40, 48, 3)})
    data = open_folder(folder)
    assert "bias_field" not in {task.kind for task in evaluated_tasks(data)}
    assert [task.name for task in evaluated_tasks(data, ("bias_field",))] == ["bias_field:contrast 0@0.5"]
    prepare([folder], tmp_path / "store")
    store = Store.open(tmp_path / "store")
    assert "bias_field" not in task_sources(store, ("train", "val"), ())["image"]
    assert set(task_sources(store, ("train", "val"), ("bias_field",))["image"]) == {"bias_field"}
