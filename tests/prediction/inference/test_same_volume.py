"""Slices between annotated slices: interpolated outlines against the network, weighed by the annotated slices."""

import numpy as np
import pytest
from torch import Tensor

from mvg.imaging.frame import Frame
from mvg.imaging.window import Window
from mvg.prediction.inference.query_volume import QueryVolume
from mvg.prediction.inference.same_volume import SameVolume
from mvg.prediction.inference.shape_prior import interpolated, signed_distances
from tests.prediction.learner import SIZE, Learner


def disk(radius: float, column: float = SIZE / 2) -> np.ndarray:
    rows, cols = np.mgrid[:SIZE, :SIZE]
    return (np.hypot(rows - SIZE / 2, cols - column) < radius).astype(np.uint8)


def cone(slices: int = 9) -> np.ndarray:
    """Disks that grow by a pixel per slice."""
    return np.stack([disk(3 + number) for number in range(slices)])


class Unsure(Learner):
    """The same predictions with low confidence, as of a network that sees only noise."""

    def paint(self, images: Tensor, learned: Tensor, target_type: str) -> Tensor:
        return 0.02 * super().paint(images, learned, target_type)


def engine_of(labels: np.ndarray, images: np.ndarray, learner: type[Learner] = Learner) -> SameVolume:
    frame = Frame.letterbox((SIZE, SIZE), (1.0, 1.0), SIZE)
    query = QueryVolume(images[:, None].astype(np.float32), "axial", (Window(0, 1),), (frame,))
    return SameVolume(learner(), query, 1)


def test_signed_distances_are_positive_inside_and_constant_for_an_absent_label() -> None:
    distances = signed_distances(disk(6), 2)
    assert distances[0, 16, 16] == pytest.approx(6, abs=1)
    assert distances[0, 16, 28] == pytest.approx(-6, abs=1)
    assert (distances[1] == distances[1, 0, 0]).all()
    assert distances[1, 0, 0] < -SIZE


def test_the_outline_between_two_disks_is_a_disk_between_them() -> None:
    below, above = signed_distances(disk(4), 1), signed_distances(disk(10), 1)
    between = interpolated(below, above, 0.5)[0] > 0
    assert abs(int(between.sum()) - int(disk(7).sum())) < 25
    assert np.array_equal(interpolated(below, above, 0.0), below)
    assert np.array_equal(interpolated(below, above, 1.0), above)


def test_where_intensities_show_nothing_the_outlines_are_interpolated() -> None:
    labels = cone()
    images = np.random.default_rng(0).uniform(0, 1, labels.shape)
    engine = engine_of(labels, images, Unsure)
    engine.annotate({number: labels[number] for number in (0, 2, 4, 6, 8)})
    for number in (1, 3, 5, 7):
        predicted = engine.labels(number).numbers
        assert 2 * (predicted & labels[number]).sum() / (predicted.sum() + labels[number].sum()) > 0.85


def test_where_outlines_jump_the_network_is_followed() -> None:
    labels = np.stack([disk(5, 8 if number % 4 < 2 else 24) for number in range(9)])
    images = np.where(labels > 0, 0.8, 0.2)
    engine = engine_of(labels, images)
    engine.annotate({number: labels[number] for number in (0, 2, 4, 6, 8)})
    for number in (1, 3, 5, 7):
        assert np.array_equal(engine.labels(number).numbers, labels[number])


def test_only_the_nearest_annotated_slices_are_prompts() -> None:
    labels = cone()
    engine = engine_of(labels, np.where(labels > 0, 0.8, 0.2))
    engine.annotate({number: labels[number] for number in (1, 4, 7)})
    assert [engine.neighbors(number) for number in (0, 2, 5, 8)] == [(1,), (1, 4), (4, 7), (7,)]
    assert engine.annotate({1: labels[1], 4: labels[5], 7: labels[7]}) == {4}
    assert engine.annotate({1: labels[1], 7: labels[7]}) == {4}
    assert engine.neighbors(5) == (1, 7)
