"""Frames map pictures into squares and back."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvg.errors import GeometryError
from mvg.imaging import Frame, assemble

sides = st.integers(1, 70)
sizes = st.integers(1, 64)
spacings = st.floats(0.2, 5)
frames = st.builds(
    lambda maker, rows, cols, row_mm, col_mm, size: maker((rows, cols), (row_mm, col_mm), size),
    st.sampled_from([Frame.letterbox, Frame.padded]), sides, sides, spacings, spacings, sizes,
)  # fmt: skip


@given(frames)
def test_constant_pictures_stay_constant_and_padding_is_zero(frame: Frame) -> None:
    square = frame.apply(np.full(frame.shape, 3.0))
    inside = np.zeros_like(square, bool)
    inside[frame.target.index] = True
    np.testing.assert_allclose(square[inside], 3, rtol=1e-5)
    assert (square[~inside] == 0).all()
    np.testing.assert_allclose(frame.restore(square), 3, rtol=1e-5)


@given(frames)
def test_labels_are_restored_exactly_where_they_were_not_shrunk(frame: Frame) -> None:
    labels = np.arange(np.prod(frame.shape), dtype=np.int32).reshape(frame.shape) + 1000
    square = frame.apply_labels(labels)
    assert square.dtype == labels.dtype
    assert set(np.unique(square)) <= {0, *labels.ravel().tolist()}
    if frame.target.rows >= frame.shape[0] and frame.target.cols >= frame.shape[1]:
        np.testing.assert_array_equal(frame.restore_labels(square), labels)


@given(frames)
def test_pictures_are_centered(frame: Frame) -> None:
    target = frame.target
    assert 0 <= target.top <= frame.size - target.rows
    assert 0 <= target.left <= frame.size - target.cols
    assert abs(target.top - (frame.size - target.rows - target.top)) <= 1
    assert abs(target.left - (frame.size - target.cols - target.left)) <= 1


@pytest.mark.parametrize(
    ("shape", "spacing", "rows", "cols"),
    [
        ((100, 50), (1, 1), 64, 32),
        ((100, 50), (1, 2), 64, 64),
        ((10, 100), (10, 1), 64, 64),
        ((20, 10), (1, 1), 64, 32),
    ],
)
def test_letterbox_fills_the_square_in_the_physical_aspect(
    shape: tuple[int, int], spacing: tuple[float, float], rows: int, cols: int
) -> None:
    target = Frame.letterbox(shape, spacing, 64).target
    assert (target.rows, target.cols) == (rows, cols)


@given(st.integers(1, 64), st.integers(1, 64), st.floats(0.1, 9))
def test_small_pictures_are_only_padded(rows: int, cols: int, mm: float) -> None:
    frame = Frame.padded((rows, cols), (mm, mm), 64)
    picture = np.random.default_rng(0).random((3, rows, cols), np.float32)
    assert (frame.target.rows, frame.target.cols) == (rows, cols)
    np.testing.assert_array_equal(frame.restore(frame.apply(picture)), picture)


@given(st.integers(2, 60), st.integers(2, 60), st.integers(64, 150))
def test_smooth_pictures_are_restored_after_enlargement(rows: int, cols: int, size: int) -> None:
    frame = Frame.letterbox((rows, cols), (1.0, 1.0), size)
    down, across = np.mgrid[:rows, :cols]
    ramp = down + 2.0 * across
    restored = frame.restore(frame.apply(ramp))
    # Errors are below a quarter of the step between pixels, and below one step at the border, where pixels repeat.
    np.testing.assert_allclose(restored[1:-1, 1:-1], ramp[1:-1, 1:-1], atol=0.25)
    assert np.abs(restored - ramp).max() < 1


def test_shrinking_averages_pixels() -> None:
    stripes = np.tile([0.0, 1.0], (64, 32))
    small = Frame.letterbox((64, 64), (1, 1), 16).apply(stripes)
    np.testing.assert_allclose(small[:, 1:-1], 0.5, atol=1e-6)


def test_shrinking_agrees_with_pillow() -> None:
    from PIL import Image

    picture = np.random.default_rng(0).random((60, 90), np.float32)
    shrunk = Frame.letterbox((60, 90), (1, 1), 30).apply(picture)[5:25]
    reference = np.asarray(Image.fromarray(picture).resize((30, 20), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(shrunk, reference, atol=1e-5)


@given(frames, st.integers(0, 3))
def test_each_picture_of_a_stack_is_framed_separately(frame: Frame, stack_axes: int) -> None:
    stack = np.random.default_rng(0).random((*[2] * stack_axes, *frame.shape), np.float32)
    squares = frame.apply(stack)
    assert squares.shape == (*[2] * stack_axes, frame.size, frame.size)
    first = (0,) * stack_axes
    np.testing.assert_allclose(squares[first], frame.apply(stack[first]), atol=1e-6)
    np.testing.assert_allclose(frame.restore(squares)[first], frame.restore(squares[first]), atol=1e-6)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(4, 40), st.data())
def test_tiles_cover_the_picture_and_restore_it(rows: int, cols: int, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1).filter(lambda overlap: size - overlap >= 4))
    tiles = Frame.tiles((rows, cols), size, overlap)
    picture = np.random.default_rng(0).random((2, rows, cols), np.float32)
    squares = [tile.apply(picture) for tile in tiles]
    assert all(square.shape == (2, size, size) for square in squares)
    np.testing.assert_allclose(assemble(tiles, squares), picture, rtol=1e-4, atol=1e-5)
    covered = sum(tile.restore(np.ones((size, size))) for tile in tiles)
    assert covered.min() >= 1


def test_neighboring_tiles_have_at_least_the_overlap() -> None:
    tiles = Frame.tiles((100, 40), 40, 10)
    tops = sorted({tile.source.top for tile in tiles})
    assert all(second - first <= 30 for first, second in pairwise(tops))
    assert {(tile.source.rows, tile.source.cols) for tile in tiles} == {(40, 40)}


def test_wrong_shapes_and_overlaps_are_refused() -> None:
    frame = Frame.letterbox((4, 5), (1, 1), 8)
    for method in (frame.apply, frame.apply_labels, frame.restore, frame.restore_labels):
        with pytest.raises(GeometryError, match="shape"):
            method(np.zeros((5, 4), np.int32))
    with pytest.raises(GeometryError, match="overlap"):
        Frame.tiles((9, 9), 4, 4)
    with pytest.raises(GeometryError, match="positive"):
        Frame.letterbox((4, 5), (0, 1), 8)


zoomed_frames = st.builds(
    lambda rows, cols, row_mm, col_mm, size, down, across, magnification: Frame.zoomed(
        (rows, cols), (row_mm, col_mm), size, (down * rows, across * cols), magnification
    ),
    sides, sides, st.floats(0.5, 2), st.floats(0.5, 2), sizes, st.floats(0, 1), st.floats(0, 1), st.floats(1, 4),
)  # fmt: skip


@given(zoomed_frames)
def test_zoomed_boxes_lie_inside_picture_and_square(frame: Frame) -> None:
    for box, (rows, cols) in ((frame.source, frame.shape), (frame.target, (frame.size, frame.size))):
        assert 0 <= box.top <= box.top + box.rows <= rows
        assert 0 <= box.left <= box.left + box.cols <= cols
        assert box.rows >= 1
        assert box.cols >= 1
    restored = frame.restore(frame.apply(np.full(frame.shape, 3.0)))
    np.testing.assert_allclose(restored[frame.source.index], 3, rtol=1e-5)
    restored[frame.source.index] = 0
    assert (restored == 0).all(), "restored pixels outside of the source are zero"


def test_zoomed_frames_have_the_center_and_the_magnification() -> None:
    frame = Frame.zoomed((100, 200), (2.0, 1.0), 50, (40.0, 120.0), 4.0)  # 50 of 200 mm are visible
    assert (frame.source.top, frame.source.rows) == (28, 25)
    assert (frame.source.left, frame.source.cols) == (95, 50)
    assert (frame.target.rows, frame.target.cols) == (50, 50)
    corner = Frame.zoomed((100, 200), (2.0, 1.0), 50, (0.0, 0.0), 4.0)
    assert (corner.source.top, corner.source.left) == (0, 0)
    assert 24 <= corner.target.top <= 26
    assert corner.target.left == 25
