"""Parallel-beam tomography of single slices: projection as a sparse matrix, its filtered and iterative inverses."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse
from scipy.sparse.linalg import LinearOperator, cg

_CACHED = 2  # matrices; one of 512 x 512 pixels and 60 views takes 250 MB


def even_angles(views: int, span: float = 180.0) -> tuple[float, ...]:
    """Angles in degrees, evenly spaced over `span` from 0 on."""
    return tuple(span * view / views for view in range(views))


def detectors(side: int) -> int:
    """The number of detector pixels that see all of a square, each as wide as a pixel."""
    return int(np.ceil(side * np.sqrt(2))) + 2


@lru_cache(maxsize=_CACHED)
def projector(side: int, angles: tuple[float, ...]) -> sparse.csr_array:
    """The matrix (views * detectors, side * side) that sums pixels along parallel rays, one pixel apart.

    angles: in degrees; the ray through the middle of the square hits the middle of the detector.
    """
    rows, cols = np.mgrid[:side, :side].reshape(2, -1).astype(np.float32) - np.float32((side - 1) / 2)
    count, pixels = detectors(side), np.arange(side * side, dtype=np.int32)
    views = []
    for angle in np.deg2rad(angles):
        at = cols * np.float32(np.cos(angle)) + rows * np.float32(np.sin(angle)) + np.float32((count - 1) / 2)
        low = np.floor(at).astype(np.int32)
        weights = np.stack([1 - (at - low), at - low])
        places = (np.concatenate([low, low + 1]), np.concatenate([pixels, pixels]))
        views.append(sparse.csr_array((weights.ravel(), places), shape=(count, side * side), dtype=np.float32))
    return sparse.csr_array(sparse.vstack(views, format="csr"))


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
