"""Small labels are answered once more in regions around them, near annotated slices that show them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from mvg.imaging.frame import Frame
from mvg.imaging.window import Window
from mvg.prediction.inference.evidence import VolumeScale
from mvg.prediction.inference.label_regions import LabelRegion, magnified
from mvg.prediction.inference.query_volume import QueryFeatures, QueryVolume
from mvg.prediction.inference.same_volume import SameVolume
from mvg.prediction.inference.slice_answer import Magnified, answered
from tests.prediction.learner import Learner

SIZE, SIDE = 32, 64
MAIN = Frame.letterbox((SIDE, SIDE), (1.0, 1.0), SIZE)
CLOSE = Frame.zoomed((SIDE, SIDE), (1.0, 1.0), SIZE, (20.0, 20.0), 2.0)  # rows and columns 4 to 36


class Certain:
    """Says that class 1 is everywhere in its square, and which slices it was asked for."""

    def __init__(self, log_odds: float = 5.0) -> None:
        self.log_odds, self.requested, self.annotated = log_odds, list[int](), list[int]()

    def annotate(self, annotated: Mapping[int, np.ndarray]) -> None:
        self.annotated = list(annotated)

    def fused(self, numbers: Sequence[int], classes: Sequence[int]) -> np.ndarray:
        self.requested += numbers
        assert tuple(classes) == (1,)
        return np.full((len(numbers), 2, SIZE, SIZE), self.log_odds, np.float32)

    def forget_features(self) -> None:
        self.requested.clear()


def region(engine: Certain, labeled: tuple[int, ...] = (5,)) -> LabelRegion:
    labels = np.zeros((SIDE, SIDE), np.uint8)
    return LabelRegion((1,), CLOSE, dict.fromkeys(labeled, labels), labeled, engine)


def log_odds(*boxes: tuple[int, int, int]) -> np.ndarray:
    """Log-odds (2, s, s) of -4, and of 2 in boxes: class, first row and column, to eight pixels farther."""
    maps = np.full((2, SIZE, SIZE), -4, np.float32)
    for number, row, col in boxes:
        maps[number - 1, row : row + 8, col : col + 8] = 2
    return maps


def test_only_slices_near_annotated_ones_whose_labels_lie_inside_are_served() -> None:
    engine = Certain()
    first = dict.fromkeys(range(11), log_odds((1, 6, 6)))
    first[6] = log_odds((1, 6, 6), (1, 20, 20))  # beyond the region
    first[4] = log_odds((1, 6, 6), (2, 20, 20))  # of another class
    result = magnified([region(engine)], MAIN, first)
    assert sorted(result) == [3, 4, 5, 7]
    assert engine.requested == [3, 4, 5, 7]
    assert engine.annotated == [5]


def test_labels_at_the_edge_of_a_region_stay_as_they_are() -> None:
    engine = Certain()
    assert magnified([region(engine)], MAIN, {5: log_odds((1, 2, 6))}) == {}
    assert engine.requested == []


def test_log_odds_are_averaged_in_the_region_of_their_class() -> None:
    query = QueryVolume(np.zeros((1, 1, SIDE, SIDE), np.float32), "axial", (Window(0, 1),), (MAIN,))
    first = log_odds((2, 6, 6))
    alone = answered(query, first).numbers
    assert set(np.unique(alone)) == {0, 2}
    sure = answered(query, first, [Magnified(CLOSE, (1,), np.full((2, SIZE, SIZE), 9, np.float32))]).numbers
    assert (sure[4:36, 4:36] == 1).all(), "(9 - 4) / 2 is more than 2"
    assert not (sure == 1)[36:].any()
    unsure = answered(query, first, [Magnified(CLOSE, (1,), np.full((2, SIZE, SIZE), 3, np.float32))]).numbers
    assert set(np.unique(unsure)) == {0, 2}, "(3 - 4) / 2 is less than 0"
    assert (unsure != alone).mean() < 0.02
    likely = answered(query, first, [Magnified(CLOSE, (1,), np.full((2, SIZE, SIZE), 7, np.float32))]).numbers
    assert likely[20, 20] == 2, "(7 - 4) / 2 is less than 2"
    assert likely[8, 8] == 1


def test_a_session_answers_again_what_a_new_region_serves_and_at_first_without_it() -> None:
    labels = np.zeros((12, SIDE, SIDE), np.uint8)
    labels[:, 14:26, 14:26] = 1
    query = QueryVolume(np.where(labels, 0.8, 0.2)[:, None].astype(np.float32), "axial", (Window(0, 1),), (MAIN,))
    engine = SameVolume(QueryFeatures(Learner(), query), 2, VolumeScale(1.0, 1.0))
    engine.annotate({5: labels[5]})
    engine.prepare(range(12))
    without = engine.answer(6).numbers
    certain = Certain(60.0)
    engine.magnify([region(certain)])
    assert [number for number in range(12) if not engine.is_current(number)] == [3, 4, 6, 7]
    assert np.array_equal(engine.quick_answer(6).numbers, without)
    assert certain.requested == []
    assert (engine.answer(6).numbers[5:35, 5:35] == 1).all()
    assert np.array_equal(engine.answer(8).numbers, labels[8])
    engine.magnify([])
    assert np.array_equal(engine.answer(6).numbers, without)


@pytest.mark.parametrize("numbers", [[3, 4, 6], [1, 2, 9, 10]])
def test_log_odds_of_slices_are_those_of_neighboring_slices_alone(numbers: list[int]) -> None:
    labels = np.zeros((12, SIDE, SIDE), np.uint8)
    labels[:, 14:26, 14:26] = 1
    learner = Learner()
    query = QueryVolume(np.where(labels, 0.8, 0.2)[:, None].astype(np.float32), "axial", (Window(0, 1),), (CLOSE,))
    engine = SameVolume(QueryFeatures(learner, query), 2, VolumeScale(1.0, 1.0))
    engine.annotate({5: labels[5]})
    fused = engine.fused(numbers, [1])
    assert fused.shape == (len(numbers), 2, SIZE, SIZE)
    assert ((fused[:, 0] > 0) == (CLOSE.apply_labels(labels[0]) == 1)).mean() > 0.95
    assert (fused[:, 1] < -20).all()
    assert learner.embedded <= 11, "slices far from all of them are not looked at"
