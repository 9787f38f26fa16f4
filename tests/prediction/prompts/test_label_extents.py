"""Where labels lie in their slices."""

import numpy as np

from mvg.prediction.prompts.label_extents import _span, label_spans


def test_the_spans_of_all_labels_are_those_of_each_in_any_order_of_values() -> None:
    rng = np.random.default_rng(0)
    for values in ((1, 3, 4), (4, 1, 3), (300, 2)):
        labels = rng.choice([0, 0, 0, 0, 2, *values], (7, 20, 30)) * (rng.random((7, 20, 30)) < 0.1)
        expected = {number + 1: _span(labels == value) for number, value in enumerate(values)}
        assert label_spans(labels, values) == expected


def test_labels_that_no_slice_shows_have_no_span() -> None:
    labels = np.zeros((3, 8, 8), np.uint8)
    assert label_spans(labels, (1, 2)) == {}
    labels[1, 2:4, 5] = 2
    assert label_spans(labels, (1, 2)) == {2: (2, 4, 5, 6)}
