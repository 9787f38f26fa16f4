"""Overlays have colors at labels and the image everywhere else."""

import numpy as np
import pytest

from mvg.imaging.overlay import PALETTE, color_of, fill, outline, plain

IMAGE = np.linspace(0, 1, 36).reshape(6, 6)
LABELS = np.zeros((6, 6), np.uint8)
LABELS[1:3, 1:3], LABELS[1:3, 3:5] = 1, 2


def test_palette_colors_differ_and_repeat_after_the_last() -> None:
    assert len(set(PALETTE)) == len(PALETTE) >= 12
    assert [color_of(label) for label in (1, len(PALETTE), len(PALETTE) + 1)] == [PALETTE[0], PALETTE[-1], PALETTE[0]]


def test_gray_and_color_images_become_8_bits_per_channel() -> None:
    assert plain(np.array([[-1.0, 0.5, 2.0]])).tolist() == [[[0] * 3, [127] * 3, [255] * 3]]
    colors = np.array([[[0.0, 0.5, 1.0]]])
    assert plain(colors).tolist() == [[[0, 127, 255]]]


@pytest.mark.parametrize("draw", [fill, outline])
def test_without_labels_the_image_is_unchanged(draw) -> None:  # type: ignore[no-untyped-def]
    np.testing.assert_array_equal(draw(IMAGE, np.zeros((6, 6), bool)), plain(IMAGE))
    np.testing.assert_array_equal(draw(IMAGE, np.full((6, 6), -1)), plain(IMAGE))


def test_filled_regions_mix_color_and_image() -> None:
    picture = fill(IMAGE, LABELS)
    np.testing.assert_array_equal(picture[LABELS == 0], plain(IMAGE)[LABELS == 0])
    for label in (1, 2):
        expected = 0.45 * plain(IMAGE)[label == LABELS] + 0.55 * np.array(color_of(label))
        np.testing.assert_allclose(picture[label == LABELS], expected, atol=1)


def test_outlines_lie_around_the_regions() -> None:
    picture = outline(IMAGE, LABELS)
    for pixel in ((0, 1), (0, 2), (3, 1), (1, 0)):
        assert tuple(picture[pixel]) == color_of(1)
    for pixel in ((0, 3), (3, 4), (2, 5), (1, 2), (2, 2)):  # the last two lie in the smaller label that touches it
        assert tuple(picture[pixel]) == color_of(2)
    for pixel in ((1, 1), (2, 3), (0, 0), (5, 5), (3, 0)):
        assert tuple(picture[pixel]) == tuple(plain(IMAGE)[pixel])


def test_label_values_beyond_8_bits_have_a_color() -> None:
    labels = np.full((2, 2), 1000, np.int64)
    np.testing.assert_allclose(fill(np.zeros((2, 2)), labels)[0, 0], 0.55 * np.array(color_of(1000)), atol=1)
