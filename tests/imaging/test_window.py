"""Windows: inverses, defaults by modality, and intensities that leave no room."""

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
def test_fit_takes_any_picture(raw: np.ndarray, modality: str) -> None:
    scaled = Window.fit(raw, modality).apply(raw)
    assert np.isfinite(scaled).all()


@pytest.mark.parametrize("constant", [0.0, 7.0, -3.0, 1e-30, 1e30, -1e9])
def test_constant_pictures_stay_finite_and_invertible(constant: float) -> None:
    raw = np.full((3, 4), constant, np.float32)
    window = Window.fit(raw, "MR")
    assert np.isfinite(window.apply(raw)).all()
    np.testing.assert_allclose(window.invert(window.apply(raw)), raw, rtol=1e-6)


def test_sparse_pictures_keep_what_they_have() -> None:
    raw = np.zeros((100, 100), np.float32)
    raw[3, 3] = 50
    assert Window.fit(raw, "MR") == Window(0, 50)


def test_values_that_are_not_finite_do_not_count() -> None:
    raw = np.array([0, 1, 2, 3, np.nan, np.inf, -np.inf])
    assert Window.fit(raw, "MR") == Window.fit(raw[:4], "MR")
    assert Window.fit(np.full(3, np.nan), "MR") == Window(0, 1)


def test_ct_in_hu_is_shown_as_soft_tissue() -> None:
    hu = np.linspace(-1024, 2000, 100)
    assert Window.fit(hu, "CT") == Window(-160, 240) == Window.named("soft tissue")
    assert Window.fit(hu, "low-dose CT (HU)") == Window(-160, 240)
    assert Window.fit(hu, "MR") != Window(-160, 240)
    assert Window.fit(hu, "octopus") != Window(-160, 240)
    assert Window.fit(np.linspace(0, 255, 100), "CT") == Window.fit(np.linspace(0, 255, 100), "MR")


def test_percentiles_cut_the_tails() -> None:
    window = Window.fit(np.arange(1001), "MR")
    assert (window.low, window.high) == pytest.approx((5, 995))


def test_large_volumes_are_sampled_fairly() -> None:
    raw = np.tile(np.arange(256, dtype=np.float32), 40_000)
    window = Window.fit(raw, "MR")
    assert (window.low, window.high) == pytest.approx((1, 254), abs=1)


def test_large_volumes_are_not_copied_and_stay_as_they_are() -> None:
    raw = np.asfortranarray(np.random.default_rng(0).random((200, 200, 150), np.float32))
    before = raw.copy(order="K")
    tracemalloc.start()
    window = Window.fit(raw, "MR")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < raw.nbytes / 2
    assert (window.low, window.high) == pytest.approx((0.005, 0.995), abs=5e-4)
    assert np.array_equal(raw, before)
    few = before[:20, :20, :20].copy()
    Window.fit(few, "MR")
    assert np.array_equal(few, raw[:20, :20, :20])


def test_names() -> None:
    assert Window.named("lung").low < -1000
    with pytest.raises(UnknownNameError, match="soft tissue"):
        Window.named("bone marrow")


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_impossible_windows_are_refused(low: float, high: float) -> None:
    with pytest.raises(GeometryError, match="lower first"):
        Window(low, high)


def test_only_hu_lie_far_below_zero() -> None:
    assert guess_modality(np.array([-1000.0, 300])) == "CT"
    assert guess_modality(np.array([-3.0, 300])) == "other"
