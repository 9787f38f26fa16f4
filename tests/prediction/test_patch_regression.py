"""Regression on patches: what it can learn, and that it is applied pixel by pixel."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from mvg.prediction.patch_regression import PatchRegression


def textures(seed: int, shape: tuple[int, int, int] = (2, 48, 40)) -> NDArray[np.float32]:
    """Smooth random pictures in [0, 1]."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), (0, 2, 2))
    return np.asarray((noise - noise.min()) / np.ptp(noise), np.float32)


def blurred(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(ndimage.gaussian_filter(pictures, (0, 0.8, 0.8)), np.float32)


def mean_error(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one - other).mean())


def test_a_blur_is_undone_in_pictures_of_another_size() -> None:
    examples = [(blurred(textures(seed))[None], textures(seed)) for seed in range(3)]
    truth = textures(9, (1, 60, 72))
    corrected = PatchRegression.fit(examples)(blurred(truth)[None])
    assert corrected.shape == truth.shape
    assert mean_error(corrected, truth) < 0.3 * mean_error(blurred(truth), truth)


def test_further_channels_are_used() -> None:
    def channels(seed: int) -> NDArray[np.float32]:
        return np.stack([blurred(textures(seed)), textures(seed) + np.float32(0.2)])

    regression = PatchRegression.fit([(channels(seed), textures(seed)) for seed in range(3)])
    assert mean_error(regression(channels(9)), textures(9)) < 0.02


def test_edges_of_another_direction_are_corrected_otherwise() -> None:
    stripes = np.tile(np.sin(np.arange(48) / 2), (48, 1))[None].astype(np.float32) / 2 + np.float32(0.5)
    upright = np.swapaxes(stripes, 1, 2).copy()
    examples = [(stripes[None], stripes * np.float32(0.5)), (upright[None], upright * np.float32(0.8))]
    regression = PatchRegression.fit(examples)
    inner = (slice(None), slice(8, -8), slice(8, -8))
    assert np.abs(regression(stripes[None]) - stripes * 0.5)[inner].max() < 0.05
    assert np.abs(regression(upright[None]) - upright * 0.8)[inner].max() < 0.05


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_pictures_of_one_intensity_stay_as_they_are(value: float) -> None:
    flat = np.full((1, 1, 16, 16), value, np.float32)
    assert np.allclose(PatchRegression.fit([(flat, flat[0])])(flat), value, atol=1e-4)


def test_the_input_is_not_changed() -> None:
    picture = blurred(textures(0))[None]
    before = picture.copy()
    PatchRegression.fit([(picture, textures(0))])(picture)
    assert np.array_equal(picture, before)
