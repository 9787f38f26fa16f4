"""Windows: inverses, defaults by modality, and constant or invalid intensities."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mvg.errors import GeometryError, UnknownNameError
from mvg.imaging import Window, guess_modality

floats = st.floats(-1e4, 1e4, width=32)
pictures = arrays.arrays(np.float32, arrays.array_shapes(max_dims=3, max_side=6), elements=floats)


@given(floats, st.floats(0.1, 1e4), pictures)
def test_invert_undoes_apply_inside_of_the_window(low: float, width: float, raw: np.ndarray) -> None:
    window = Window(low, low + width)
    scaled = window.apply(raw)
    assert scaled.dtype == np.float32
    assert scaled.min() >= 0
    assert scaled.max() <= 1
    inside = np.clip(raw, window.low, window.high)
    np.testing.assert_allclose(window.invert(scaled), inside, atol=1e-6 * (abs(low) + width) + 1e-3)


@given(pictures, st.sampled_from(["CT", "MR", "T1 MRI", "ultrasound", ""]))
def test_windows_of_any_picture_give_finite_values(raw: np.ndarray, modality: str) -> None:
    scaled = Window.fit(raw, modality).apply(raw)
    assert np.isfinite(scaled).all()


@pytest.mark.parametrize("constant", [0.0, 7.0, -3.0, 1e-30, 1e30, -1e9])
def test_constant_pictures_stay_finite_and_invertible(constant: float) -> None:
    raw = np.full((3, 4), constant, np.float32)
    window = Window.fit(raw, "MR")
    assert np.isfinite(window.apply(raw)).all()
    np.testing.assert_allclose(window.invert(window.apply(raw)), raw, rtol=1e-6)


def test_pictures_with_few_bright_pixels_use_their_full_range() -> None:
    raw = np.zeros((100, 100), np.float32)
    raw[3, 3] = 50
    assert Window.fit(raw, "MR") == Window(0, 50)


def test_values_that_are_not_finite_are_ignored() -> None:
    raw = np.array([0, 1, 2, 3, np.nan, np.inf, -np.inf])
    assert Window.fit(raw, "MR") == Window.fit(raw[:4], "MR")
    assert Window.fit(np.full(3, np.nan), "MR") == Window(0, 1)


def test_ct_in_hu_uses_the_soft_tissue_window() -> None:
    hu = np.linspace(-1024, 2000, 100)
    assert Window.fit(hu, "CT") == Window(-160, 240) == Window.named("soft tissue")
    assert Window.fit(hu, "low-dose CT (HU)") == Window(-160, 240)
    assert Window.fit(hu, "MR") != Window(-160, 240)
    assert Window.fit(hu, "octopus") != Window(-160, 240)
    assert Window.fit(np.linspace(0, 255, 100), "CT") == Window.fit(np.linspace(0, 255, 100), "MR")


def test_windows_end_at_percentiles() -> None:
    window = Window.fit(np.arange(1001), "MR")
    assert (window.low, window.high) == pytest.approx((5, 995))


def test_windows_of_large_volumes_match_their_percentiles() -> None:
    raw = np.tile(np.arange(256, dtype=np.float32), 40_000)
    window = Window.fit(raw, "MR")
    assert (window.low, window.high) == pytest.approx((1, 254), abs=1)


def test_large_volumes_are_neither_copied_nor_changed() -> None:
    raw = np.asfortranarray(np.random.default_rng(0).random((200, 200, 150), np.float32))
    before = raw.copy(order="K")
    tracemalloc.start()
    window = Window.fit(raw, "MR")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < raw.nbytes / 2
    assert (window.low, window.high) == pytest.approx((0.005, 0.995), abs=5e-4)
    assert np.array_equal(raw, before)
    small = before[:20, :20, :20].copy()
    Window.fit(small, "MR")
    assert np.array_equal(small, raw[:20, :20, :20])


def test_windows_are_known_by_name() -> None:
    assert Window.named("lung").low < -1000
    with pytest.raises(UnknownNameError, match="soft tissue"):
        Window.named("bone marrow")


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_windows_without_width_or_with_infinite_edges_are_refused(low: float, high: float) -> None:
    with pytest.raises(GeometryError, match="lower first"):
        Window(low, high)


def test_values_far_below_zero_are_guessed_to_be_ct() -> None:
    rng = np.random.default_rng(0)
    ct = np.concatenate([rng.normal(-1000, 15, 400), rng.normal(40, 20, 500), rng.normal(-100, 20, 100)])
    assert guess_modality(ct) == "CT"
    assert guess_modality(np.array([-3.0, 300])) == "other"


def test_an_mr_scan_with_a_rim_is_not_ct_and_ct_with_uniform_air_is() -> None:
    rng = np.random.default_rng(0)
    mr = np.concatenate([np.abs(rng.normal(0, 10, 3000)), rng.normal(120, 60, 6000).clip(0)])
    tissue = rng.normal(40, 20, 3000)
    assert guess_modality(np.concatenate([np.full(400, -1024.0), mr])) == "other"
    assert guess_modality(np.append(mr, [-600.0, -2000.0])) == "other"
    assert guess_modality(np.concatenate([np.full(3000, -1000.0), tissue, rng.normal(-100, 20, 800)])) == "CT"


@pytest.mark.parametrize("fill", [-3024.0, -1024.0, -60.0, 32767.0])
def test_values_that_fill_the_outside_of_a_scan_do_not_move_the_window(fill: float) -> None:
    scan = np.abs(np.random.default_rng(0).normal(0, 200, 5000))
    assert Window.fit(np.concatenate([np.full(900, fill), scan]), "MR") == Window.fit(scan, "MR")


def test_the_background_of_a_scan_without_skull_is_no_fill_value() -> None:
    brain = np.random.default_rng(0).normal(800, 60, 5000)
    assert Window.fit(np.concatenate([np.zeros(2000), brain]), "MR").low == 0


@pytest.mark.parametrize("offset", [1024.0, 1300.0, 5000.0])
def test_ct_with_an_offset_gets_the_window_with_that_offset(offset: float) -> None:
    rng = np.random.default_rng(0)
    hu = np.concatenate([rng.normal(-1000, 10, 4000), rng.normal(-100, 20, 1000), rng.normal(40, 20, 5000)])
    assert Window.fit(hu + offset, "CT").low == pytest.approx(-160 + offset, abs=15)
    assert Window.fit(hu, "CT") == Window(-160, 240)


def test_ct_without_air_is_read_by_its_tissue() -> None:
    tissue = np.random.default_rng(0).normal(40, 60, 5000)
    assert Window.fit(tissue, "CT") == Window(-160, 240)
    assert Window.fit(tissue + 1024, "CT") == Window(864, 1264)
