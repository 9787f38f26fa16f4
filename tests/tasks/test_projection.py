"""Simulated low-dose noise matches a simulation with photon counts and scikit-image's projections."""

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
    """An ellipse of water in air, in HU; half axes in pixels."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.where((y / half_rows) ** 2 + (x / half_cols) ** 2 < 1, 0, -1000).astype(np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def scikit_image_noise(
    slice_hu: NDArray[np.float32], dose: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """The noise of one simulated scan: radon, Poisson counts, logarithm, and iradon with a ramp filter."""
    views = int(np.ceil(np.pi / 2 * len(slice_hu)))
    angles = np.arange(views) * 180 / views
    lines = radon((slice_hu / 1000 + 1) * WATER * MM, theta=angles, circle=True)
    photons = PHOTONS * MM / views * dose / (1 - dose)
    counts = generator.poisson(photons * np.exp(-lines))
    noisy = -np.log(np.maximum(counts, 0.5) / photons)
    noisy_slice, clean_slice = (
        iradon(sinogram, theta=angles, filter_name="ramp", circle=False, interpolation="cubic", output_size=SIDE)
        for sinogram in (noisy, lines)
    )
    return np.asarray((noisy_slice - clean_slice) * 1000 / (WATER * MM))


def spectrum(noise: NDArray[np.floating], bands: int = 8) -> NDArray[np.float64]:
    """The fraction of the noise power in rings of equal width, from low to high frequency, up to 0.5 per pixel."""
    power = np.abs(np.fft.fft2(noise - noise.mean())) ** 2
    radius = np.hypot(np.fft.fftfreq(len(noise))[:, None], np.fft.fftfreq(len(noise))[None])
    rings = np.array([power[(radius >= k / 2 / bands) & (radius < (k + 1) / 2 / bands)].sum() for k in range(bands)])
    return np.asarray(rings / rings.sum(), np.float64)


def test_line_integrals_of_a_cylinder_are_its_chords() -> None:
    radius, positions = 45.0, np.linspace(-40, 40, 33)
    lines = projection._line_integrals(ellipse(radius, radius), MM, np.tile(positions, (201, 1)), 201)
    chords = 2 * np.sqrt(radius**2 - positions**2) * WATER * MM
    assert np.abs(lines.mean(axis=0) / chords - 1).max() < 0.03
    assert np.abs(lines / chords - 1).mean() < 0.05


def test_line_integrals_agree_with_scikit_image() -> None:
    body = ellipse(30, 50)
    body[50:60, 80:90] = 700  # bone off center, so that the direction of rotation matters
    views = 180
    reference = radon((body / 1000 + 1) * WATER * MM, theta=np.arange(views) * 180 / views, circle=True)
    # scikit-image rotates in the other direction, about the pixel at SIDE / 2 instead of a point between pixels.
    angles = np.arange(views) * np.pi / views
    positions = (np.arange(SIDE) - SIDE // 2)[None, :] + 0.5 * (np.cos(angles) - np.sin(angles))[:, None]
    lines = projection._line_integrals(body[::-1].copy(), MM, positions, views)
    assert np.abs(lines - reference.T)[:, 20:-20].mean() < 0.03 * reference.mean()


@pytest.mark.parametrize("body", [ellipse(50, 50), ellipse(25, 55)], ids=["round", "flat"])
def test_noise_has_the_spectrum_of_a_simulation_with_scikit_image(body: NDArray[np.float32]) -> None:
    # Smoothed first, because scikit-image's interpolation between detector pixels removes high frequencies.
    reference, simulated = (
        [gaussian_filter(noise, 1.0)[44:84, 44:84] for noise in noises]
        for noises in (
            [scikit_image_noise(body, 0.25, rng(seed)) for seed in range(4)],
            [low_dose_noise(body, MM, (0, 0, SIDE), 0.25, rng(seed)) for seed in range(12)],
        )
    )
    assert np.std(simulated) == pytest.approx(np.std(reference), rel=0.1)
    difference = np.mean([spectrum(n) for n in simulated], 0) - np.mean([spectrum(n) for n in reference], 0)
    assert np.abs(difference).max() < 0.06
    for axis in (0, 1):  # streaks have the same direction
        shifted = [
            np.mean([np.corrcoef(n.ravel(), np.roll(n, 1, axis).ravel())[0, 1] for n in x])
            for x in (simulated, reference)
        ]
        assert shifted[0] == pytest.approx(shifted[1], abs=0.08)


def test_noise_grows_with_the_square_root_of_the_dose_reduction() -> None:
    body, doses = ellipse(40, 40), (0.9, 0.5, 0.25, 0.1)
    noise = [low_dose_noise(body, MM, (32, 32, 64), dose, rng()).std() for dose in doses]
    expected = [np.sqrt((1 - dose) / dose) for dose in doses]
    assert np.allclose(np.array(noise) / noise[0], np.array(expected) / expected[0], rtol=0.05)


def test_noise_has_high_frequencies_and_streaks_along_the_thick_direction() -> None:
    round_noise = low_dose_noise(ellipse(50, 50), MM, (32, 32, 64), 0.25, rng())
    rings = spectrum(round_noise)
    assert rings[0] < 0.05 < 0.15 < rings[6]  # a ramp: little power at low frequencies, unlike blurred white noise
    flat = low_dose_noise(ellipse(20, 60), MM, (48, 32, 32), 0.25, rng())
    along = np.corrcoef(flat[:, 1:].ravel(), flat[:, :-1].ravel())[0, 1]
    across = np.corrcoef(flat[1:].ravel(), flat[:-1].ravel())[0, 1]
    assert along > across + 0.2


def test_thicker_bodies_are_noisier_and_a_crop_has_the_noise_of_its_position() -> None:
    thin, thick = (low_dose_noise(ellipse(r, r), MM, (48, 48, 32), 0.25, rng()).std() for r in (20, 50))
    assert thick > 2 * thin
    body = ellipse(50, 50)
    slices = [low_dose_noise(body, MM, (0, 0, SIDE), 0.25, rng(seed)) for seed in range(4)]
    for top, left in ((48, 48), (16, 48), (48, 80)):
        crops = [low_dose_noise(body, MM, (top, left, 32), 0.25, rng(seed)) for seed in range(8)]
        assert np.std(crops) == pytest.approx(np.std([w[top : top + 32, left : left + 32] for w in slices]), rel=0.12)


def test_noise_depends_on_photons_per_mm_and_not_on_pixels_or_crop() -> None:
    fine = ellipse(100, 100, 256)
    coarse = ellipse(50, 50)
    small = np.std([low_dose_noise(fine, MM / 2, (112, 112, 32), 0.25, rng(seed)) for seed in range(8)])
    large = np.std([low_dose_noise(fine, MM / 2, (64, 64, 128), 0.25, rng(seed))[48:80, 48:80] for seed in range(8)])
    assert small == pytest.approx(large, rel=0.1)
    # At the same resolution, finer pixels have the same noise, because photons are counted per mm. The noise of a ramp
    # filter grows with its bandwidth to the power of 3/2.
    per_pixel = np.std([low_dose_noise(coarse, MM, (48, 48, 32), 0.25, rng(seed)) for seed in range(8)])
    assert small / per_pixel == pytest.approx(2**1.5, rel=0.15)


def test_rays_without_photons_give_finite_noise() -> None:
    body = ellipse(62, 62)
    body[body > -1000] = 3000
    assert np.isfinite(low_dose_noise(body, 4.0, (0, 0, SIDE), 0.01, rng())).all()


def test_noise_of_a_crop_takes_less_than_80_ms() -> None:
    body = ellipse(200, 220, 512)
    low_dose_noise(body, 0.8, (200, 180, 128), 0.25, rng())  # builds the projector
    times = []
    for seed in range(7):
        start = time.perf_counter()
        low_dose_noise(body, 0.8, (200, 180, 128), 0.25, rng(seed))
        times.append(time.perf_counter() - start)
    assert min(times) < 0.08  # about 0.02 on one core of 2026; slower machines may take longer
