"""Parallel-beam tomography of single slices: projection as a sparse matrix, its filtered and iterative inverses."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse
from scipy.sparse.linalg import LinearOperator, cg

_REACHED = 3  # detector pixels that the shadow of a pixel can reach
_THINNEST = 1e-3  # width of a shadow's edge, where rays run along the pixels
_CACHED = 2  # matrices; one of 512 x 512 pixels and 60 views takes 380 MB


def even_angles(views: int, span: float = 180.0) -> tuple[float, ...]:
    """Angles in degrees, evenly spaced over `span` from 0 on."""
    return tuple(span * view / views for view in range(views))


def detectors(side: int) -> int:
    """The number of detector pixels that see all of a square, each as wide as a pixel."""
    return int(np.ceil(side * np.sqrt(2))) + 2


@lru_cache(maxsize=_CACHED)
def projector(side: int, angles: tuple[float, ...]) -> sparse.csr_array:
    """The matrix (views * detectors, side * side) that sums pixels along parallel strips, one pixel wide.

    angles: in degrees; the ray through the middle of the square hits the middle of the detector.
    """
    rows, cols = np.mgrid[:side, :side].reshape(2, -1) - (side - 1) / 2
    count, pixels = detectors(side), np.tile(np.arange(side * side, dtype=np.int32), _REACHED)
    views = []
    for angle in np.deg2rad(angles):
        at = cols * np.cos(angle) + rows * np.sin(angle) + (count - 1) / 2
        hit = np.rint(at).astype(np.int32) + np.arange(_REACHED, dtype=np.int32)[:, None] - _REACHED // 2
        weights = _shadow_share(hit - at, angle).astype(np.float32)
        entries = (weights.ravel(), (hit.ravel(), pixels))
        views.append(sparse.csr_array(entries, shape=(count, side * side)))
    return sparse.csr_array(sparse.vstack(views, format="csr"))


def _shadow_share(distance: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """The share of a pixel's shadow that falls on a detector pixel at a distance from the middle of the shadow."""
    wide, narrow = (max(abs(part), _THINNEST) for part in (np.cos(angle), np.sin(angle)))
    outer, inner = (wide + narrow) / 2, (wide - narrow) / 2

    def below(edge: NDArray[np.float64]) -> NDArray[np.float64]:
        parts = ((edge + outer, 1), (edge + inner, -1), (edge - inner, -1), (edge - outer, 1))
        total = sum(sign * np.maximum(part, 0) ** 2 for part, sign in parts)
        return np.asarray(total / (2 * wide * narrow))

    return below(distance + 0.5) - below(distance - 0.5)


def projections(pictures: NDArray[np.float32], angles: tuple[float, ...]) -> NDArray[np.float32]:
    """Sums along rays (n, views, detectors) of square pictures (n, s, s), which are 0 outside."""
    matrix = projector(pictures.shape[-1], angles)
    flat = matrix @ pictures.reshape(len(pictures), -1).T
    return np.asarray(flat.T.reshape(len(pictures), len(angles), -1), np.float32)


def filtered_backprojection(
    sinograms: NDArray[np.float32], angles: tuple[float, ...], side: int
) -> NDArray[np.float32]:
    """Pictures (n, s, s) of sinograms (n, views, detectors) by the ramp filter (Ram-Lak).

    Angles that span less than half a turn leave out what they do not show.
    """
    size = fft.next_fast_len(2 * sinograms.shape[-1], real=True)
    offsets = np.concatenate([np.arange(size // 2 + 1), np.arange(size - size // 2 - 1, 0, -1)])
    kernel = np.zeros(size)
    kernel[0], odd = 0.25, offsets % 2 == 1
    kernel[odd] = -1 / (np.pi * offsets[odd]) ** 2
    response = 2 * np.real(fft.rfft(kernel))
    filtered = fft.irfft(fft.rfft(sinograms, size, axis=-1) * response, size, axis=-1)[..., : sinograms.shape[-1]]
    flat = projector(side, angles).T @ filtered.reshape(len(sinograms), -1).T.astype(np.float32)
    step = np.deg2rad(angles[1] - angles[0]) if len(angles) > 1 else np.pi
    return np.asarray(flat.T.reshape(-1, side, side) * (step / 2), np.float32)


def nearest_consistent(
    pictures: NDArray[np.float32], sinograms: NDArray[np.float32], angles: tuple[float, ...], steps: int
) -> NDArray[np.float32]:
    """The pictures (n, s, s), changed by `steps` steps of conjugate gradients towards what was measured.

    The steps stay in the span of the rays, so what no ray shows is left as it is.
    """
    matrix = projector(pictures.shape[-1], angles)
    normal = LinearOperator((matrix.shape[1],) * 2, matvec=lambda x: matrix.T @ (matrix @ x), dtype=np.float32)
    changed = np.empty_like(pictures)
    for number, (picture, sinogram) in enumerate(zip(pictures, sinograms, strict=True)):
        missing = matrix.T @ (sinogram.ravel() - matrix @ picture.ravel())
        change, _ = cg(normal, missing, rtol=0.0, maxiter=steps)
        changed[number] = picture + change.reshape(picture.shape)
    return changed
