"""Slices between annotated slices: the network and interpolated outlines together."""

import numpy as np
import pytest
from torch import Tensor

from mvg.imaging.frame import Frame
from mvg.imaging.window import Window
from mvg.prediction.inference.evidence import AnnotatedSquare, Neighbors, VolumeScale
from mvg.prediction.inference.query_volume import QueryFeatures, QueryVolume
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
        return 0.002 * super().paint(images, learned, target_type)


def engine_of(labels: np.ndarray, images: np.ndarray, learner: type[Learner] = Learner) -> SameVolume:
    frame = Frame.letterbox((SIZE, SIZE), (1.0, 1.0), SIZE)
    query = QueryVolume(images[:, None].astype(np.float32), "axial", (Window(0, 1),), (frame,))
    return SameVolume(QueryFeatures(learner(), query), 1, VolumeScale(1.0, 1.0))


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
        predicted = engine.answer(number).numbers
        assert 2 * (predicted & labels[number]).sum() / (predicted.sum() + labels[number].sum()) > 0.85


def test_only_the_nearest_annotated_slices_are_neighbors() -> None:
    squares = {number: AnnotatedSquare.of(disk(4), disk(4).astype(np.float32), 1) for number in (1, 4, 7)}

    def neighbors(number: int) -> tuple[int, int, int | None]:
        around = Neighbors.of(number, squares)
        assert around is not None
        return around.below, around.above, around.beyond

    assert [neighbors(number) for number in (0, 2, 4, 5, 9)] == [
        (1, 1, 4), (1, 4, None), (4, 4, None), (4, 7, None), (7, 7, 4)
    ]  # fmt: skip
    assert Neighbors.of(3, {}) is None


def test_only_what_a_correction_changes_is_predicted_again() -> None:
    labels = cone(40)
    engine = engine_of(labels, np.where(labels > 0, 0.8, 0.2))
    engine.annotate({number: labels[number] for number in (1, 10, 20, 30)})
    engine.prepare(range(40))
    assert all(engine.is_current(number) for number in range(40))
    engine.annotate({1: labels[1], 10: labels[10], 20: labels[20], 30: disk(5)})
    outdated = [number for number in range(40) if not engine.is_current(number)]
    assert outdated == [n for n in range(15, 40) if n not in (20, 30)], (
        "from the neighbor 20 on, and as far as fusion looks"
    )
    engine.annotate({number: labels[number] for number in (1, 10, 20)})
    assert engine.annotated == (1, 10, 20)


def test_a_quick_answer_needs_one_answer_of_the_network() -> None:
    labels = cone(12)
    learner = Learner()
    frame = Frame.letterbox((SIZE, SIZE), (1.0, 1.0), SIZE)
    images = np.where(labels > 0, 0.8, 0.2)
    query = QueryVolume(images[:, None].astype(np.float32), "axial", (Window(0, 1),), (frame,))
    engine = SameVolume(QueryFeatures(learner, query), 1, VolumeScale(1.0, 1.0))
    engine.annotate({2: labels[2]})
    assert np.array_equal(engine.quick_answer(3).numbers, labels[3])
    assert not engine.is_current(3)
    assert np.array_equal(engine.answer(3).numbers, labels[3])
    assert engine.is_current(3)
