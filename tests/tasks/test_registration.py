"""The field of a pair leads from the fixed image to the moving one."""

import numpy as np
from scipy import ndimage

from mvg.tasks.kinds.registration import drawn_field, inverted


def test_the_inverse_of_a_drawn_field_leads_back() -> None:
    field = drawn_field(64, np.random.default_rng(3))
    assert 0.5 < np.abs(field).max() <= 0.08 * 64
    back = inverted(field)
    points = np.indices((64, 64)) + back
    there = np.stack([ndimage.map_coordinates(part, points, order=1, mode="nearest") for part in field])
    inner = (slice(None), slice(8, -8), slice(8, -8))
    assert np.abs((back + there)[inner]).max() < 0.05


def test_a_pair_is_aligned_by_its_field() -> None:
    rows = np.indices((64, 64)) / 6
    fixed = (np.sin(rows[0]) * np.cos(rows[1]) / 2 + 0.5).astype(np.float32)
    back = drawn_field(64, np.random.default_rng(3))
    moving = ndimage.map_coordinates(fixed, np.indices((64, 64)) + back, order=1, mode="nearest")
    aligned = ndimage.map_coordinates(moving, np.indices((64, 64)) + inverted(back), order=1, mode="nearest")
    inner = (slice(8, -8), slice(8, -8))
    assert np.abs(aligned - fixed)[inner].mean() < 0.25 * np.abs(moving - fixed)[inner].mean()
