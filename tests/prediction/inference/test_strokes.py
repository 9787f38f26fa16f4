"""Strokes spread over what looks like them, and a prediction stays where nothing speaks against it."""

import numpy as np

from mvg.prediction.inference.strokes import spread_strokes

NOTHING = np.zeros((64, 64), np.uint8)


def picture() -> np.ndarray:
    """Two bright squares on a dark ground."""
    image = np.full((64, 64), 0.2, np.float32) + np.random.default_rng(0).normal(0, 0.01, (64, 64)).astype(np.float32)
    image[10:30, 10:30] += 0.5
    image[40:60, 36:56] += 0.5
    return image


def strokes(**points: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    numbers, known = NOTHING.copy(), np.zeros((64, 64), bool)
    for name, (row, col) in points.items():
        numbers[row - 1 : row + 2, col - 1 : col + 2] = int(name[1:])
        known[row - 1 : row + 2, col - 1 : col + 2] = True
    return numbers, known


def test_without_a_prediction_strokes_fill_what_looks_alike() -> None:
    result = spread_strokes(picture(), *strokes(c1=(20, 20), c2=(50, 46)), None)
    expected = NOTHING.copy()
    expected[10:30, 10:30], expected[40:60, 36:56] = 1, 2
    assert (result == expected).mean() > 0.99


def test_a_wrong_part_of_a_prediction_is_erased_and_the_rest_stays() -> None:
    predicted = NOTHING.copy()
    predicted[10:30, 10:30] = predicted[40:60, 36:56] = 1
    result = spread_strokes(picture(), *strokes(c0=(50, 46)), predicted)
    assert (result[10:30, 10:30] == 1).mean() > 0.98
    assert (result[40:60, 36:56] == 0).mean() > 0.9


def test_pixels_that_were_drawn_on_stay_as_drawn() -> None:
    numbers, known = strokes(c1=(5, 50), c2=(20, 20))
    result = spread_strokes(picture(), numbers, known, NOTHING)
    assert np.array_equal(result[known], numbers[known])


def test_slices_larger_than_what_is_solved_keep_their_shape() -> None:
    image = np.kron(picture(), np.ones((9, 9), np.float32))[:570, :550]
    numbers, known = np.zeros(image.shape, np.uint8), np.zeros(image.shape, bool)
    numbers[180, 180], known[180, 180] = 1, True
    result = spread_strokes(image, numbers, known, None)
    assert result.shape == image.shape
    assert result[150, 150] == 1
    assert result[500, 500] == 0
