"""Simulated low dose: Poisson noise in the sinogram of a slice, taken to the picture by filtered backprojection.

Filtered backprojection is linear, so FBP(p + n) = FBP(p) + FBP(n): the low-dose slice is the original plus the FBP of
the sinogram noise n alone. So the original keeps its sharpness, no full projection is needed, and a crop is computed
from the rays through it (the filter's response falls with the square of the distance). n follows from Poisson photon
counts behind the whole body. Approximations: line integrals for the counts come from a slice averaged to 64 x 64 (they
vary slowly); parallel beam, one energy.

The dose does not depend on the number of views: a crop of c pixels needs pi/2 * c views (its resolution allows no finer
angular detail), and the photons of the scan are divided among them.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse

WATER = 0.0192  # per mm, at the effective energy of a 120 kV beam
# Photons of a full-dose scan that pass one mm of detector in all views together, without a patient. Calibrated so that
# a quarter of it gives the noise of real quarter-dose slices (AAPM Low Dose CT Grand Challenge).
PHOTONS = 1.8e9
_COARSE = 64  # pixels across, for line integrals
_FINE = 4  # samples per detector pixel that views are resampled to: the nearest is then good enough, and fast
_MARGIN = 32  # detector pixels beyond the crop, for the filter's response


def low_dose_noise(
    slice_hu: NDArray[np.float32],
    pixel_mm: float,
    box: tuple[int, int, int],
    dose: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """The noise (size, size) in HU that a scan with the share `dose` of the photons, 0 < dose < 1, adds to a crop.

    slice_hu: the whole slice (S, S) in HU, air outside; box: top, left and size of the crop. The slice has the noise of
    a full dose already, so only the difference is added. A crop of 128 x 128 takes about 20 ms on one core.
    """
    assert 0 < dose < 1, "a share of the full dose"
    top, left, size = box
    views = int(np.ceil(np.pi / 2 * size))
    angles = _angles(views)
    middle = (slice_hu.shape[0] - 1) / 2
    y, x = top + (size - 1) / 2 - middle, left + (size - 1) / 2 - middle
    bins = fft.next_fast_len(int(np.ceil(size * np.sqrt(2))) + 2 * _MARGIN, real=True)
    # Detector pixels are as wide as the picture's; each detector is centered on the ray through the crop's center.
    places = (x * np.cos(angles) + y * np.sin(angles))[:, None] + (np.arange(bins) - (bins - 1) / 2)[None, :]
    lines = _line_integrals(slice_hu, pixel_mm, places, views)
    # A scan of dose d has the variance of the full-dose scan plus that of a scan with I d / (1 - d) photons.
    photons = PHOTONS * pixel_mm / views * dose / (1 - dose)
    counts = rng.poisson(photons * np.exp(-lines))
    noise = -np.log(np.maximum(counts, 0.5) / (photons * np.exp(-lines)))
    filtered = _FINE * fft.irfft(fft.rfft(noise.astype(np.float32), axis=1) * _ramp(bins), n=_FINE * bins, axis=1)
    return _backprojected(np.asarray(filtered, np.float32), angles, size) * np.float32(1000 / (WATER * pixel_mm))


def _angles(views: int) -> NDArray[np.float64]:
    return np.asarray(np.arange(views) * (np.pi / views), np.float64)


def _line_integrals(
    slice_hu: NDArray[np.float32], pixel_mm: float, places: NDArray[np.float64], views: int
) -> NDArray[np.float64]:
    """Attenuation (views, bins) along rays at `places` (in pixels from the middle of the slice), no unit."""
    block = -(-slice_hu.shape[0] // _COARSE)
    side = -(-slice_hu.shape[0] // block)
    padded = np.full((side * block, side * block), -1000, np.float32)
    padded[: slice_hu.shape[0], : slice_hu.shape[1]] = slice_hu
    coarse = padded.reshape(side, block, side, block).mean(axis=(1, 3))
    attenuation = np.maximum(coarse / 1000 + 1, 0) * (WATER * pixel_mm * block)
    detector = 2 * side
    sinogram = (_projector(side, views) @ attenuation.ravel()).reshape(views, detector)
    # The padded square's middle lies (side * block - S) / 2 pixels further than the slice's.
    shift = (side * block - slice_hu.shape[0]) / 2
    angles = _angles(views)
    at = (places - (shift * (np.cos(angles) + np.sin(angles)))[:, None]) / block + (detector - 1) / 2
    low = np.clip(np.floor(at).astype(np.int64), 0, detector - 2)
    part = np.clip(at - low, 0, 1)
    row = np.arange(views)[:, None]
    return np.asarray(sinogram[row, low] * (1 - part) + sinogram[row, low + 1] * part, np.float64)


@lru_cache(maxsize=4)
def _projector(side: int, views: int) -> sparse.csr_array:
    """The matrix (views * 2 side, side * side) that sums pixels along parallel rays, one pixel apart."""
    detector, middle = 2 * side, (side - 1) / 2
    rows, cols = np.mgrid[:side, :side].reshape(2, -1) - middle
    angles = _angles(views)
    at = rows[None] * np.sin(angles)[:, None] + cols[None] * np.cos(angles)[:, None] + (detector - 1) / 2
    low = np.floor(at).astype(np.int32)
    part = (at - low).astype(np.float32)
    ray = low + (np.arange(views, dtype=np.int32) * detector)[:, None]
    pixel = np.broadcast_to(np.arange(side * side, dtype=np.int32), ray.shape)
    weights = np.concatenate([(1 - part).ravel(), part.ravel()])
    places = (np.concatenate([ray.ravel(), ray.ravel() + 1]), np.concatenate([pixel.ravel(), pixel.ravel()]))
    return sparse.csr_array((weights, places), shape=(views * detector, side * side))


@lru_cache(maxsize=8)
def _ramp(bins: int) -> NDArray[np.float32]:
    """The ramp filter's response for `bins` detector pixels, unsmoothed, as sharp kernels are."""
    return np.asarray(fft.rfftfreq(bins), np.float32)


def _backprojected(filtered: NDArray[np.float32], angles: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """The picture (size, size) of filtered views (views, _FINE * bins), detectors centered on the picture's middle."""
    views, samples = filtered.shape
    steps = (_FINE * (np.arange(size) - (size - 1) / 2)).astype(np.float32)
    middle = np.float32(_FINE * (samples // _FINE - 1) / 2 + 0.5)  # the half rounds to the nearest sample
    picture = np.zeros((size, size), np.float32)
    for view in range(views):
        across = steps * np.float32(np.cos(angles[view])) + middle
        down = steps * np.float32(np.sin(angles[view]))
        picture += filtered[view].take((across[None, :] + down[:, None]).astype(np.int32), mode="clip")
    return picture * np.float32(np.pi / views)
