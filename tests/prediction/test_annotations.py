"""Annotations: which slices are known whole, after any corrections, undone or not."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mvg.imaging.volume import Volume
from mvg.prediction.annotations import Annotations, Correction

SHAPE = (2, 3, 4)
steps = st.lists(st.tuples(st.sampled_from(["correct", "undo", "redo"]), st.integers(0, 2), st.integers(0, 2**30)))


@given(steps)
def test_whole_slices_are_counted_as_they_are(operations: list[tuple[str, int, int]]) -> None:
    annotations = Annotations(Volume(np.zeros(SHAPE, np.float32), np.eye(4)))
    for name, axis, seed in operations:
        if name != "correct":
            getattr(annotations, name)()
            continue
        rng = np.random.default_rng(seed)
        shape = [length for other, length in enumerate(SHAPE) if other != axis]
        known = (rng.random(shape) < 0.8).astype(np.uint8)
        annotations.correct(Correction(axis, int(rng.integers(SHAPE[axis])), known * 2, known))
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        expected = np.flatnonzero(annotations.known.all(axis=others)).tolist()
        assert annotations.whole_slices(axis) == expected


def test_strokes_take_little_memory_and_are_undone_to_the_voxel() -> None:
    annotations = Annotations(Volume(np.zeros((256, 256, 3), np.float32), np.eye(4)))
    known = np.zeros((256, 256), np.uint8)
    known[100:130, 90:140] = 1
    tracemalloc.start()
    try:
        for number in range(50):
            annotations.correct(Correction(2, 1, known * np.uint8(1 + number % 3), np.roll(known, number, axis=0)))
        each = tracemalloc.get_traced_memory()[0] / 50
    finally:
        tracemalloc.stop()
    assert each < 4000
    assert len(annotations.history) == len(annotations.corrected) == 50
    np.testing.assert_array_equal(annotations.history[7].numbers, known * np.uint8(2))
    while annotations.undo():
        pass
    assert not annotations.numbers.any()
    assert not annotations.known.any()
    assert len(annotations.undone) == 50
