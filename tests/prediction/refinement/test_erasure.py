"""Erasure keeps or erases pixels of the query."""

import numpy as np

from mvg.prediction.refinement.erasure import _kept


def head() -> tuple[np.ndarray, np.ndarray]:
    """A bright ring around a darker brain with a black hole, and the brain (rows, cols)."""
    y, x = np.mgrid[:80, :80] - 39.5
    radius = np.hypot(x, y)
    brain = radius < 24
    picture = 0.9 * ((radius > 28) & (radius < 34)) + 0.5 * brain * (radius > 4)
    return picture.astype(np.float32), brain


def test_what_was_darkened_is_erased_and_holes_of_the_rest_are_kept() -> None:
    picture, brain = head()
    predicted = np.where(brain, picture, 0.1 * picture).astype(np.float32)
    kept = _kept(picture, predicted)
    assert (kept & brain).sum() >= 0.98 * brain.sum()
    assert not kept[(picture == np.float32(0.9))].any()


def test_an_unchanged_picture_is_kept() -> None:
    picture, _ = head()
    assert _kept(picture, picture)[picture > 0].all()
