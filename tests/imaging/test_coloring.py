"""Colorings: painted labels can be read back, for any values and numbers of labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvg.errors import PromptError, UnknownNameError
from mvg.imaging import Coloring

label_values = st.one_of(st.integers(1, 300), st.integers(-(2**31), 2**40)).filter(bool)
value_sets = st.sets(label_values, min_size=0, max_size=255)
seeds = st.integers(0, 2**32 - 1)


def all_colorings(values: set[int], seed: int) -> list[Coloring]:
    return [
        Coloring.random(values, np.random.default_rng(seed)),
        Coloring.spaced(values),
        Coloring.predefined("this", {"other": range(1, 40), "this": values, "third": [7]}),
        *[Coloring.binary(value) for value in list(values)[:1]],
    ]


@given(value_sets, seeds)
def test_read_undoes_paint(values: set[int], seed: int) -> None:
    for coloring in all_colorings(values, seed):
        known = np.array([0, *coloring.values])
        labels = np.random.default_rng(seed).choice(known, (3, 40))
        labels.ravel()[: len(known)] = known[: labels.size]
        painted = coloring.paint(labels)
        assert painted.dtype == np.float32
        assert painted.min() >= 0
        assert painted.max() <= 1
        assert (painted[labels == 0] == 0).all()
        assert (painted[labels != 0] > 0).all()
        np.testing.assert_array_equal(coloring.read(painted), labels)


@given(st.sets(label_values, min_size=1, max_size=30), seeds)
def test_the_largest_soft_value_is_the_label_that_is_read(values: set[int], seed: int) -> None:
    picture = np.random.default_rng(seed).uniform(-0.2, 1.2, (5, 7)).astype(np.float32)
    for coloring in all_colorings(values, seed):
        soft = coloring.soft(picture)
        assert soft.shape == (len(coloring.values) + 1, 5, 7)
        np.testing.assert_allclose(soft.sum(axis=0), 1, rtol=1e-5)
        ranked = np.sort(soft, axis=0)
        clear = ranked[-1] - ranked[-2] > 1e-3
        np.testing.assert_array_equal(coloring.labels[soft.argmax(axis=0)][clear], coloring.read(picture)[clear])


def test_soft_values_are_1_at_exact_colors_and_equal_halfway_between_two() -> None:
    coloring = Coloring.spaced([1, 2])
    np.testing.assert_allclose(coloring.soft(coloring.palette).diagonal(), 1, atol=0.01)
    np.testing.assert_allclose(coloring.soft(np.array(0.25)), [0.5, 0.5, 0], atol=0.01)


def test_255_classes_can_be_read_and_more_are_refused() -> None:
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for coloring in all_colorings(set(range(1, 256)), 0)[:3]:
        np.testing.assert_array_equal(coloring.read(coloring.paint(labels)), labels)
    with pytest.raises(PromptError, match="at most 255"):
        Coloring.spaced(range(1, 257))


def test_noise_below_half_the_distance_of_colors_changes_no_label() -> None:
    coloring = Coloring.random(range(1, 14), np.random.default_rng(0))
    labels = np.random.default_rng(1).integers(0, 14, (64, 64))
    noise = np.random.default_rng(2).uniform(-1, 1, labels.shape) * 0.49 * np.diff(np.sort(coloring.palette)).min()
    np.testing.assert_array_equal(coloring.read(coloring.paint(labels) + noise), labels)


def test_random_colors_differ_between_draws_and_follow_the_seed() -> None:
    rng = np.random.default_rng(0)
    assert len({Coloring.random([1, 2, 3], rng) for _ in range(20)}) > 15
    assert Coloring.random([1, 2], np.random.default_rng(5)) == Coloring.random([2, 1, 0], np.random.default_rng(5))


def test_predefined_colors_are_fixed_and_differ_between_tasks() -> None:
    classes = {"liver": [1], "heart": [1, 2, 3], "brain": [5, 3]}
    colorings = {name: Coloring.predefined(name, classes) for name in classes}
    colors = [color for coloring in colorings.values() for color in coloring.colors]
    assert len(set(colors)) == 6
    assert Coloring.predefined("heart", dict(reversed(classes.items()))) == colorings["heart"]
    with pytest.raises(UnknownNameError, match="brain, heart, liver"):
        Coloring.predefined("lung", classes)


def test_labels_outside_of_the_coloring_are_background() -> None:
    labels = np.array([0, 1, 2, 3])
    np.testing.assert_array_equal(Coloring.binary(2).paint(labels), [0, 0, 1, 0])
    np.testing.assert_array_equal(Coloring.binary(2).paint(labels.astype(np.uint8)), [0, 0, 1, 0])
    np.testing.assert_array_equal(Coloring.spaced([]).paint(labels), 0)
    np.testing.assert_array_equal(Coloring.spaced([]).read(np.array([0.0, 1.0])), 0)


@pytest.mark.parametrize(
    ("values", "colors"),
    [((1,), (0.0,)), ((1,), (1.5,)), ((0,), (1.0,)), ((1, 2), (0.5, 0.5)), ((1, 1), (0.2, 0.5)), ((1,), ())],
)
def test_ambiguous_colorings_are_refused(values: tuple[int, ...], colors: tuple[float, ...]) -> None:
    with pytest.raises(PromptError, match="distinct"):
        Coloring(values, colors)
