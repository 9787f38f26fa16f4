"""Simulated low dose: the same noise as projecting, counting photons and backprojecting with scikit-image."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.transform import iradon, radon

from mvg.tasks import projection
from mvg.tasks.projection import PHOTONS, WATER, low_dose_noise

SIDE, MM = 128, 2.5


def ellipse(half_rows: float, half_cols: float, side: int = SIDE) -> NDArray[np.float32]:
    """Water of that size in pixels, in air, in HU."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.where((y / half_rows) ** 2 + (x / half_cols) ** 2 < 1, 0, -1000).astype(np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def by_scikit_image(slice_hu: NDArray[np.float32], dose: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """The noise of one simulated scan, the long way: radon, Poisson counts, logarithm, iradon with the same ramp."""
    views = int(np.ceil(np.pi / 2 * len(slice_hu)))
    angles = np.arange(views) * 180 / views
    lines = radon((slice_hu / 1000 + 1) * WATER * MM, theta=angles, circle=True)
    photons = PHOTONS * MM / views * dose / (1 - dose)
    counts = generator.poisson(photons * np.exp(-lines))
    noisy = -np.log(np.maximum(counts, 0.5) / photons)
    both = [iradon(sinogram, theta=angles, filter_name="ramp", circle=False, interpolation="cubic", output_size=SIDE)
            for sinogram in (noisy, lines)]  # fmt: skip
    return np.asarray((both[0] - both[1]) * 1000 / (WATER * MM))


def spectrum(noise: NDArray[np.floating], bands: int = 8) -> NDArray[np.float64]:
    """The share of the noise power in rings of equal width, from slow to fast, up to 0.5 per pixel."""
    power = np.abs(np.fft.fft2(noise - noise.mean())) ** 2
    radius = np.hypot(np.fft.fftfreq(len(noise))[:, None], np.fft.fftfreq(len(noise))[None])
    rings = np.array([power[(radius >= k / 2 / bands) & (radius < (k + 1) / 2 / bands)].sum() for k in range(bands)])
    return np.asarray(rings / rings.sum(), np.float64)


def test_line_integrals_are_chords_of_a_cylinder() -> None:
    radius, places = 45.0, np.linspace(-40, 40, 33)
    lines = projection._line_integrals(ellipse(radius, radius), MM, np.tile(places, (201, 1)), 201)
    chords = 2 * np.sqrt(radius**2 - places**2) * WATER * MM
    assert np.abs(lines.mean(axis=0) / chords - 1).max() < 0.03
    assert np.abs(lines / chords - 1).mean() < 0.05


def test_line_integrals_are_those_of_scikit_image() -> None:
    body = ellipse(30, 50)
    body[50:60, 80:90] = 700  # bone, off the middle: angles must turn the same way
    views = 180
    theirs = radon((body / 1000 + 1) * WATER * MM, theta=np.arange(views) * 180 / views, circle=True)
    # scikit-image turns the other way, about the pixel at SIDE / 2 instead of between pixels.
    angles = np.arange(views) * np.pi / views
    places = (np.arange(SIDE) - SIDE // 2)[None, :] + 0.5 * (np.cos(angles) - np.sin(angles))[:, None]
    turned = projection._line_integrals(body[::-1].copy(), MM, places, views)
    assert np.abs(turned - theirs.T)[:, 20:-20].mean() < 0.03 * theirs.mean()


@pytest.mark.parametrize("body", [ellipse(50, 50), ellipse(25, 55)], ids=["round", "flat"])
def test_the_noise_is_that_of_scikit_image(body: NDArray[np.float32]) -> None:
    # Compared below the frequencies that scikit-image's interpolation between detector pixels takes away.
    theirs, ours = (
        [gaussian_filter(noise, 1.0)[44:84, 44:84] for noise in made]
        for made in (
            [by_scikit_image(body, 0.25, rng(seed)) for seed in range(4)],
            [low_dose_noise(body, MM, (0, 0, SIDE), 0.25, rng(seed)) for seed in range(12)],
        )
    )
    assert np.std(ours) == pytest.approx(np.std(theirs), rel=0.1)
    difference = np.mean([spectrum(n) for n in ours], 0) - np.mean([spectrum(n) for n in theirs], 0)
    assert np.abs(difference).max() < 0.06
    for axis in (0, 1):  # streaks lie along the same direction
        shifted = [
            np.mean([np.corrcoef(n.ravel(), np.roll(n, 1, axis).ravel())[0, 1] for n in x]) for x in (ours, theirs)
        ]
        assert shifted[0] == pytest.approx(shifted[1], abs=0.08)


def test_less_dose_more_noise_by_the_square_root() -> None:
    body, doses = ellipse(40, 40), (0.9, 0.5, 0.25, 0.1)
    noise = [low_dose_noise(body, MM, (32, 32, 64), dose, rng()).std() for dose in doses]
    expected = [np.sqrt((1 - dose) / dose) for dose in doses]
    assert np.allclose(np.array(noise) / noise[0], np.array(expected) / expected[0], rtol=0.05)


def test_noise_is_high_frequent_and_streaks_lie_along_the_thick_direction() -> None:
    round_noise = low_dose_noise(ellipse(50, 50), MM, (32, 32, 64), 0.25, rng())
    rings = spectrum(round_noise)
    assert rings[0] < 0.05 < 0.15 < rings[6]  # a ramp: hardly any slow noise, unlike white noise of a blurred picture
    flat = low_dose_noise(ellipse(20, 60), MM, (48, 32, 32), 0.25, rng())
    along = np.corrcoef(flat[:, 1:].ravel(), flat[:, :-1].ravel())[0, 1]
    across = np.corrcoef(flat[1:].ravel(), flat[:-1].ravel())[0, 1]
    assert along > across + 0.2


def test_thicker_bodies_are_noisier_and_a_crop_has_the_noise_of_its_place() -> None:
    thin, thick = (low_dose_noise(ellipse(r, r), MM, (48, 48, 32), 0.25, rng()).std() for r in (20, 50))
    assert thick > 2 * thin
    body = ellipse(50, 50)
    wholes = [low_dose_noise(body, MM, (0, 0, SIDE), 0.25, rng(seed)) for seed in range(4)]
    for top, left in ((48, 48), (16, 48), (48, 80)):
        crops = [low_dose_noise(body, MM, (top, left, 32), 0.25, rng(seed)) for seed in range(8)]
        assert np.std(crops) == pytest.approx(np.std([w[top : top + 32, left : left + 32] for w in wholes]), rel=0.12)


def test_the_same_dose_whatever_the_pixel_and_the_crop() -> None:
    fine = ellipse(100, 100, 256)
    coarse = ellipse(50, 50)
    small = np.std([low_dose_noise(fine, MM / 2, (112, 112, 32), 0.25, rng(seed)) for seed in range(8)])
    large = np.std([low_dose_noise(fine, MM / 2, (64, 64, 128), 0.25, rng(seed))[48:80, 48:80] for seed in range(8)])
    assert small == pytest.approx(large, rel=0.1)
    # Averaged to the same detail, finer pixels carry the same noise: photons per mm count, not pixels. A ramp's noise
    # goes with the power 3/2 of its bandwidth.
    per_pixel = np.std([low_dose_noise(coarse, MM, (48, 48, 32), 0.25, rng(seed)) for seed in range(8)])
    assert small / per_pixel == pytest.approx(2**1.5, rel=0.15)


def test_starved_rays_stay_finite() -> None:
    body = ellipse(62, 62)
    body[body > -1000] = 3000
    assert np.isfinite(low_dose_noise(body, 4.0, (0, 0, SIDE), 0.01, rng())).all()


def test_fast_enough_for_training() -> None:
    body = ellipse(200, 220, 512)
    low_dose_noise(body, 0.8, (200, 180, 128), 0.25, rng())  # builds the projector
    times = []
    for seed in range(7):
        start = time.perf_counter()
        low_dose_noise(body, 0.8, (200, 180, 128), 0.25, rng(seed))
        times.append(time.perf_counter() - start)
    assert min(times) < 0.08  # about 0.02 on one core of 2026; room for slower machines
