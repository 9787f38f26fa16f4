"""Laws of the random changes of an episode."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mvg.imaging.frame import Box
from mvg.training.augmentation import AugmentationSettings, Change, Curve, Tone, sample

STILL = Change((False, False), transpose=False)
SETTINGS = AugmentationSettings()


def picture(side: int = 24) -> np.ndarray:
    return np.random.default_rng(0).random((side, side), np.float32)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_no_change_is_no_change(mode: str) -> None:
    out = sample(picture(), None, STILL, 24, mode)  # type: ignore[arg-type]
    np.testing.assert_allclose(out.numpy(), picture(), atol=1e-5)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("transpose", [False, True])
def test_flips_and_transposition_are_exact(rows: bool, columns: bool, transpose: bool, mode: str) -> None:
    expected = picture()
    if rows:
        expected = expected[::-1]
    if columns:
        expected = expected[:, ::-1]
    if transpose:
        expected = expected.T
    out = sample(picture(), None, Change((rows, columns), transpose), 24, mode)  # type: ignore[arg-type]
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-5)


def test_slices_of_a_volume_differ_by_a_tenth_of_what_pairs_differ_by() -> None:
    rng = np.random.default_rng(0)
    volume = Change((True, False), transpose=True, zoom=1.2, angle=0.3, shift=(0.1, -0.1))
    slices = [volume.jittered(SETTINGS, rng) for _ in range(200)]
    assert all((one.mirror, one.transpose) == (volume.mirror, volume.transpose) for one in slices)
    differences = np.array(
        [(np.log(one.zoom / 1.2), one.angle - 0.3, one.shift[0] - 0.1, one.shift[1] + 0.1) for one in slices]
    )
    bounds = 0.1 * np.array([np.log(1.4), np.deg2rad(12), 0.06, 0.06])
    assert (np.abs(differences).max(0) <= bounds).all()
    assert (np.abs(differences).max(0) > 0.8 * bounds).all()


def test_zoom_magnifies_about_the_middle_and_shift_moves() -> None:
    dot = np.zeros((33, 33), np.float32)
    dot[14:19, 14:19] = 1
    wide = sample(dot, None, replace(STILL, zoom=2.0), 33, "linear")
    assert wide[16, 16] == 1
    assert wide.sum() == pytest.approx(100, rel=0.05)
    moved = sample(dot, None, replace(STILL, shift=(4 / 33, 0.0)), 33, "linear")
    np.testing.assert_allclose(moved.numpy(), np.roll(dot, -4, 1), atol=1e-4)


def test_a_quarter_turn_by_the_angle_is_a_quarter_turn() -> None:
    rotated = sample(picture(), None, replace(STILL, angle=np.pi / 2), 24, "linear").numpy()
    assert min(np.abs(rotated - np.rot90(picture(), times)).max() for times in (1, 3)) < 1e-4


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_shrinking_averages_so_that_nothing_aliases(factor: int) -> None:
    checkers = (np.indices((96, 96)).sum(0) % 2).astype(np.float32)
    out = sample(checkers, None, STILL, 96 // factor, "linear")
    assert (out - 0.5).abs().max() < 0.15


def test_labels_stay_labels_however_they_are_changed() -> None:
    labels = np.random.default_rng(1).choice(np.array([0, 3, 200], np.uint8), (40, 40))
    rng = np.random.default_rng(2)
    for _ in range(10):
        change = Change.shared(SETTINGS, rng).individual(SETTINGS, rng)
        assert set(sample(labels, None, change, 16, "nearest").unique().tolist()) <= {0.0, 3.0, 200.0}


def test_a_box_is_letterboxed_into_the_middle() -> None:
    whole = np.full((32, 32), 9.0, np.float32)
    whole[4:12, 8:24] = 1  # 8 x 16
    out = sample(whole, Box(4, 8, 8, 16), STILL, 16, "linear").numpy()
    np.testing.assert_allclose(out[4:12], 1, atol=1e-5)
    assert out[:3].max() == 0
    assert out[13:].max() == 0


def test_shared_changes_stay_and_individual_ones_differ() -> None:
    rng = np.random.default_rng(3)
    always = replace(SETTINGS, flip_fraction=1.0, inversion_fraction=1.0)
    for _ in range(10):
        shared, tone = Change.shared(always, rng), Tone.shared(always, rng)
        changes = [shared.individual(always, rng) for _ in range(3)]
        assert {(change.mirror, change.transpose) for change in changes} == {(shared.mirror, shared.transpose)}
        assert len({change.angle for change in changes}) == 3
        assert tone.invert
        tones = [tone.individual(always, rng) for _ in range(3)]
        assert all(change.invert for change in tones)
        assert len({change.gamma for change in tones}) == 3


def test_individual_changes_stay_within_their_settings() -> None:
    rng = np.random.default_rng(4)
    changes = [STILL.individual(SETTINGS, rng) for _ in range(300)]
    assert all(0.85 <= change.zoom <= 1.4 for change in changes)
    assert max(abs(change.angle) for change in changes) <= np.deg2rad(12)
    assert max(abs(part) for change in changes for part in change.shift) <= 0.06
    assert np.std([change.angle for change in changes]) > 0.05


def test_settings_of_nothing_change_nothing() -> None:
    rng = np.random.default_rng(5)
    none = AugmentationSettings(
        (1.0, 1.0), rotation=0.0, shift=0.0, flip_fraction=0.0, inversion_fraction=0.0, tone=0.0, noise=0.0
    )
    assert Change.shared(none, rng).individual(none, rng) == STILL
    picture = torch.rand(4, 4)
    torch.testing.assert_close(Tone.shared(none, rng).individual(none, rng).apply(picture), picture)


def test_tones_stay_in_range_and_repeat() -> None:
    rng = np.random.default_rng(6)
    picture = torch.rand(1, 20, 20)
    for _ in range(20):
        tone = Tone.shared(SETTINGS, rng).individual(SETTINGS, rng)
        out = tone.apply(picture)
        assert out.min() >= 0
        assert out.max() <= 1
        assert torch.equal(out, tone.apply(picture))
    torch.testing.assert_close(Tone(invert=True).apply(picture), 1 - picture)


@pytest.mark.parametrize("side", [128, 129, 130, 131])
def test_pictures_stay_on_their_labels_where_they_shrink(side: int) -> None:
    mask = np.zeros((side, side), np.uint8)
    mask[side - 36 : side - 4, side - 48 : side - 8] = 1
    plain = Change((False, False), transpose=False)
    picture = sample(mask.astype(np.float32), None, plain, 32, "linear").numpy()
    labels = sample(mask, None, plain, 32, "nearest").numpy()
    for axis, middle in zip(np.indices(picture.shape), (side - 20, side - 28), strict=True):
        expected = middle * 32 / side - 0.5
        assert (axis * picture).sum() / picture.sum() == pytest.approx(expected, abs=0.05)
        assert (axis * labels).sum() / labels.sum() == pytest.approx(expected, abs=0.5)


def test_a_curve_goes_through_its_knots() -> None:
    curve = Curve((0.0, 1.0, 0.25))
    mapped = curve.apply(torch.tensor([[0.0, 0.25], [0.5, 0.75], [1.0, 1.2]]))
    torch.testing.assert_close(mapped, torch.tensor([[0.0, 0.5], [1.0, 0.625], [0.25, 0.25]]))
    picture = torch.rand(2, 3)
    assert Curve().apply(picture) is picture


def test_curves_are_drawn_for_a_share_of_the_requests() -> None:
    rng = np.random.default_rng(0)
    drawn = [Curve.random(AugmentationSettings(remap_fraction=0.3), rng) for _ in range(400)]
    assert 80 < sum(bool(curve.knots) for curve in drawn) < 160
    assert all(0 <= knot <= 1 for curve in drawn for knot in curve.knots)
    assert not Curve.random(AugmentationSettings(), rng).knots
