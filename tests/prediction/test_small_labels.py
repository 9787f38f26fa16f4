"""Which small labels of a session are magnified."""

import numpy as np

from mvg.imaging.frame import Frame
from mvg.imaging.volume import Volume
from mvg.prediction.session import Session
from mvg.prediction.session_start import SessionStart
from mvg.prediction.slice_plane import SlicePlane
from mvg.prediction.small_labels import small_labels
from tests.prediction.learner import SIZE, Learner

SIDE = 120
WHOLE = Frame.letterbox((SIDE, SIDE), (1.0, 1.0), SIZE)


def labeled(*boxes: tuple[int, int, int, int], slices: int = 2) -> np.ndarray:
    """Class 1, 2, ... in boxes: top, left, rows, columns."""
    labels = np.zeros((slices, SIDE, SIDE), np.uint8)
    for number, (top, left, rows, cols) in enumerate(boxes, start=1):
        labels[:, top : top + rows, left : left + cols] = number
    return labels


def test_small_labels_that_lie_together_share_a_frame_and_large_ones_get_none() -> None:
    labels = labeled((5, 5, 110, 110), (20, 20, 20, 10), (20, 30, 20, 10), (90, 90, 15, 15))
    groups = small_labels(labels, (1.0, 1.0), WHOLE)
    assert [group.classes for group in groups] == [(4,), (2, 3)]
    box = groups[1].frame.source
    assert box.top < 20
    assert box.left < 20
    assert box.top + box.rows > 40
    assert box.left + box.cols > 40
    assert box.rows < SIDE / 2


def test_what_the_main_frame_magnifies_already_is_left_alone() -> None:
    labels = labeled((40, 40, 30, 30))
    close = Frame.zoomed((SIDE, SIDE), (1.0, 1.0), SIZE, (55.0, 55.0), 2.5)
    assert len(small_labels(labels, (1.0, 1.0), WHOLE)) == 1
    assert small_labels(labels, (1.0, 1.0), close) == ()
    assert small_labels(np.zeros((1, SIDE, SIDE), np.uint8), (1.0, 1.0), WHOLE) == ()


def test_a_frame_stays_while_it_holds_the_labels() -> None:
    before = small_labels(labeled((40, 40, 20, 20)), (1.0, 1.0), WHOLE)
    grown = labeled((40, 40, 22, 20))
    assert small_labels(grown, (1.0, 1.0), WHOLE, before) == before
    assert small_labels(grown, (1.0, 1.0), WHOLE) != before
    moved = labeled((70, 70, 20, 20))
    assert small_labels(moved, (1.0, 1.0), WHOLE, before) != before


def squares_in_noise(count: int) -> tuple[Volume, np.ndarray]:
    """A large label and a small one, of some pixels in a square of the model."""
    labels = labeled((10, 10, 100, 70), (30, 90, 13, 17), slices=count)
    image = np.array([0.1, 0.5, 0.9])[labels]
    voxels, numbers = (np.moveaxis(array, 0, 2) for array in (image, labels))
    return Volume(voxels.astype(np.float32), np.diag([1.0, 1.0, 5.0, 1.0])), numbers


def test_a_small_label_is_outlined_finely_near_slices_that_show_it() -> None:
    volume, truth = squares_in_noise(9)
    session = Session(Learner(), volume, SessionStart((1, 2), "other"))
    cut = SlicePlane(volume, volume.plane)
    index = 4
    session.correct(index, truth.take(index, cut.axis))
    predicted = session.predict().volume.voxels

    def dice(number: int) -> float:
        one, other = (array.take(number, cut.axis) == 2 for array in (predicted, truth))
        return float(2 * (one & other).sum() / (one.sum() + other.sum()))

    near, far = [dice(number) for number in (2, 3, 5, 6)], [dice(number) for number in (0, 1, 7, 8)]
    assert min(near) > max(far) + 0.1
