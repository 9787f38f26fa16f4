"""Segments are matched by their names, however the program that wrote them numbers them."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvg.imaging.segment_numbers import SegmentNumbers
from mvg.imaging.segments import segments_header
from mvg.imaging.volume import LabelMap
from mvg.prediction.prompts.task_choice import PromptTargets

NAMES = ("liver", "spleen", "left kidney", "tumor")


def target(names: dict[int, str]) -> LabelMap:
    """A label map with a voxel of each segment, in the order of their numbers."""
    voxels = np.array([0, *sorted(names)], np.uint16)[:, None, None]
    return LabelMap(voxels, np.eye(4), segments_header(names, np.eye(4)))


@given(st.lists(st.permutations(NAMES).map(lambda names: names[:3]), min_size=2, max_size=4))
def test_a_name_has_one_value_in_all_targets(orders: list[list[str]]) -> None:
    segments, values = SegmentNumbers(), dict[str, int]()
    for order in orders:
        names = dict(enumerate(order, 1))
        for name, value in zip(order, segments.apply(target(names)).voxels[1:, 0, 0].tolist(), strict=True):
            assert values.setdefault(name, value) == value
    assert len(set(values.values())) == len(values)
    assert segments.names == {value: name for name, value in values.items()}
    assert [values[name] for name in orders[0]] == [1, 2, 3], "the first target keeps its numbers"


@pytest.mark.parametrize("names", [{1: "", 2: ""}, {1: "lesion", 2: "lesion"}])
def test_names_that_say_nothing_keep_their_numbers(names: dict[int, str]) -> None:
    segments = SegmentNumbers()
    for _ in range(2):
        assert segments.apply(target(names)).values == (1, 2)


def test_other_label_maps_are_as_they_were() -> None:
    labels = LabelMap(np.arange(8).reshape(2, 2, 2), np.eye(4))
    assert SegmentNumbers().apply(labels) is labels


def test_a_line_says_that_numbers_differ(caplog: pytest.LogCaptureFixture) -> None:
    targets = PromptTargets([target({1: "liver", 2: "tumor"}), target({1: "tumor", 2: "liver"})], "segmentation")
    with caplog.at_level(logging.WARNING, "mvg"):
        assert [targets[number].voxels[1:, 0, 0].tolist() for number in (0, 1, 1)] == [[1, 2], [2, 1], [2, 1]]
    assert [message for message in caplog.messages if "matched by their names" in message] == [
        "the segments of prompt 2 have other numbers than those of the prompts before: they are matched by their names"
    ]
