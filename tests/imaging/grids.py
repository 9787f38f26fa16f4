"""Affines and small volumes in every orientation, for the tests of imaging."""

from itertools import permutations, product
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from mvg.imaging import LabelMap, Volume

# The 48 signed permutations: each array axis is parallel to one world axis, in either direction.
ORIENTATIONS = [
    np.array(
        [[sign if row == world_axis else 0 for world_axis, sign in zip(order, signs, strict=True)] for row in range(3)]
    )
    for order, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3))
]

SPACING = (0.7, 1.3, 3.1)
ORIGIN = (-11.3, 27.9, 101.7)


def affine_of(
    orientation: NDArray[Any],
    spacing: tuple[float, float, float] = SPACING,
    tilt: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> NDArray[np.float64]:
    """An affine of this orientation, rotated by `tilt` radians about the three world axes."""
    rotation = np.eye(3)
    for (first, second), angle in zip(((0, 1), (0, 2), (1, 2)), tilt, strict=True):
        step = np.eye(3)
        step[[first, first, second, second], [first, second, first, second]] = (
            np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle),
        )  # fmt: skip
        rotation = step @ rotation
    affine = np.eye(4)
    affine[:3, :3] = rotation @ orientation * spacing
    affine[:3, 3] = ORIGIN
    return affine


def volume_of(affine: NDArray[Any], shape: tuple[int, int, int] = (4, 5, 6)) -> Volume:
    """A volume whose voxels all differ, with negative and fractional values."""
    return Volume(np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 4 - 20, affine)


def labels_of(affine: NDArray[Any], shape: tuple[int, int, int] = (4, 5, 6)) -> LabelMap:
    """Labels with large and small values, so that any rounding changes some of them."""
    values = np.array([0, 1, 205, 1000, 3, 65535], np.int32)
    return LabelMap(values[np.arange(np.prod(shape)).reshape(shape) % len(values)], affine)


def same(left: Volume | LabelMap, right: Volume | LabelMap) -> bool:
    """Whether type, voxels and affine are equal, to the last bit."""
    return (
        type(left) is type(right)
        and np.array_equal(left.voxels, right.voxels)
        and left.affine.tobytes() == right.affine.tobytes()
    )


@st.composite
def affines(draw: st.DrawFn) -> NDArray[np.float64]:
    """Any of the 48 orientations, oblique or not, with any spacing."""
    spacing = tuple(draw(st.floats(0.1, 10)) for _ in range(3))
    tilt = draw(st.one_of(st.just((0.0, 0.0, 0.0)), st.tuples(*[st.floats(-0.7, 0.7)] * 3)))
    affine = affine_of(draw(st.sampled_from(ORIENTATIONS)), spacing, tilt)
    affine[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    return affine


shapes = st.tuples(*[st.integers(1, 6)] * 3)
