"""Sessions: corrections of one volume are prompts of its other slices, and stay as they were given."""

from itertools import permutations, product

import numpy as np
import pytest

from mvg.errors import GeometryError, PromptError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.predictor import Predictor
from mvg.prediction.quality import quality_of
from mvg.prediction.result import Confidence, Prediction
from mvg.prediction.selection.uncertain import likely_errors, outward
from mvg.prediction.session import Session
from mvg.prediction.session_start import SessionStart
from mvg.prediction.slice_plane import SlicePlane
from tests.prediction.learner import SIZE, Learner, prompted
from tests.prediction.scans import scan

START = SessionStart((3, 700), "other")


def session_of(volume: Volume) -> Session:
    return Session(Learner(), volume, START)


def slice_of(labels: LabelMap, session: Session, index: int) -> np.ndarray:
    return labels.voxels.take(index, SlicePlane(session.volume, session.volume.plane).axis)


def test_one_corrected_slice_is_the_prompt_of_all_others() -> None:
    volume, truth = scan()
    session = session_of(volume)
    session.correct(2, slice_of(truth, session, 2))
    prediction = session.predict().volume
    assert np.array_equal(prediction.voxels, truth.voxels)
    assert prediction.affine.tobytes() == volume.affine.tobytes()


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_corrections_are_in_array_order_in_every_orientation(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    affine = np.eye(4)
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[:3, axis] = 0
        affine[world, axis] = sign * (1.2, 1.2, 5.0)[world]
    shape = tuple(6 if world == 2 else SIZE for world in order)
    volume, truth = scan((shape[0], shape[1], shape[2]), affine)
    session = session_of(volume)
    session.correct(1, slice_of(truth, session, 1))
    assert np.array_equal(session.predict().volume.voxels, truth.voxels)


def test_a_corrected_slice_stays_as_it_was_given_also_where_it_is_wrong() -> None:
    volume, truth = scan()
    session = session_of(volume)
    session.correct(2, slice_of(truth, session, 2))
    drawn = np.zeros_like(slice_of(truth, session, 4))
    drawn[3:9, 5:8] = 700
    session.correct(4, drawn)
    assert np.array_equal(slice_of(session.predict().volume, session, 4), drawn)


def test_strokes_stay_and_change_what_looks_like_the_pixels_around_them() -> None:
    volume, truth = scan()
    session = session_of(volume)
    session.correct(2, slice_of(truth, session, 2))
    expected = slice_of(truth, session, 4)
    inside = np.argwhere(expected == 3)
    row, col = inside[len(inside) // 2]
    stroke = np.full(expected.shape, 255)
    stroke[row, col] = 700
    session.correct(4, stroke)
    predicted = slice_of(session.predict().volume, session, 4)
    assert predicted[row, col] == 700
    changed = predicted != expected
    assert changed[row, col]
    assert not changed[expected == 0].any(), "the background looks different from the stroke"


def test_strokes_alone_label_a_slice_and_prompt_the_others() -> None:
    volume, truth = scan()
    session = session_of(volume)
    expected, stroke = slice_of(truth, session, 2), np.full(slice_of(truth, session, 2).shape, 255)
    for value in (3, 700):
        pixels = np.argwhere(expected == value)
        stroke[tuple(pixels[len(pixels) // 2])] = value
    session.correct(2, stroke)
    labels = session.predict().volume
    for index in range(6):
        right = (slice_of(labels, session, index) == slice_of(truth, session, index)).mean()
        assert right > 0.9


def test_a_slice_of_another_plane_keeps_its_voxels() -> None:
    volume, truth = scan()
    session = session_of(volume)
    session.correct(2, slice_of(truth, session, 2))
    axis, expected = SlicePlane(volume, "sagittal").axis, truth.voxels.copy()
    assert axis == 0
    expected[7, :, 4] = 700
    session.correct(7, expected.take(7, axis), "sagittal")
    assert np.array_equal(session.predict().volume.voxels, expected)


def test_undo_and_redo_go_through_all_corrections() -> None:
    volume, truth = scan()
    session = session_of(volume)
    wrong = np.where(slice_of(truth, session, 3) > 0, 3, 0)
    predictions = []
    for index, labels in ((2, slice_of(truth, session, 2)), (3, wrong), (2, wrong)):
        session.correct(index, labels)
        predictions.append(session.predict().volume.voxels)
    assert session.undo()
    assert np.array_equal(session.predict().volume.voxels, predictions[1])
    assert session.undo()
    assert np.array_equal(session.predict().volume.voxels, predictions[0])
    assert session.redo()
    assert session.redo()
    assert not session.redo()
    assert np.array_equal(session.predict().volume.voxels, predictions[2])
    for _ in range(3):
        assert session.undo()
    assert not session.undo()
    with pytest.raises(PromptError, match="label one slice first"):
        session.predict()


def test_a_correction_encodes_its_own_slice_alone() -> None:
    volume, truth = scan((32, 32, 12))
    learner = Learner()
    session = Session(learner, volume, START)
    for index in (1, 6, 11):
        session.correct(index, slice_of(truth, session, index))
    session.predict()
    embedded, encoded = learner.embedded, learner.encoded
    session.correct(9, slice_of(truth, session, 9))
    session.predict()
    assert learner.embedded == embedded, "every slice was embedded before"
    assert learner.encoded == encoded + 1


def test_impossible_corrections_are_refused_and_leave_the_session_unharmed() -> None:
    volume, truth = scan()
    session = session_of(volume)
    session.correct(2, slice_of(truth, session, 2))
    before = session.predict().volume.voxels
    with pytest.raises(GeometryError, match="in array order"):
        session.correct(3, np.zeros((5, 5), int))
    with pytest.raises(GeometryError, match="slice 6 of 6"):
        session.correct(6, slice_of(truth, session, 2))
    with pytest.raises(PromptError, match="label 9 in a correction; expected one of 0, 3, 700"):
        session.correct(3, np.full_like(slice_of(truth, session, 3), 9))
    assert len(session.corrections) == 1
    assert np.array_equal(session.predict().volume.voxels, before)


def test_a_session_of_a_task_begins_with_its_prediction_and_goes_on_from_corrections() -> None:
    (image, labels), (volume, truth) = scan(seed=0), scan(seed=9)
    task = Predictor(Learner()).prompt([image], [labels])
    session = task.open(volume)
    assert np.array_equal(session.predict().volume.voxels, task(volume).volume.voxels)
    drawn = slice_of(truth, session, 2)
    session.correct(2, np.where(drawn == 3, 700, 0))
    prediction = session.predict().volume
    assert np.array_equal(slice_of(prediction, session, 2), np.where(drawn == 3, 700, 0))


def test_a_session_without_examples_names_its_labels() -> None:
    volume, truth = scan()
    session = Predictor(Learner()).open(volume, labels=[3, 700])
    with pytest.raises(PromptError, match="label one slice first"):
        session.predict()
    session.correct(2, slice_of(truth, session, 2))
    assert np.array_equal(session.predict().volume.voxels, truth.voxels)


@pytest.mark.parametrize("labels", [[], [0, 1], [2, 2], list(range(1, 300))])
def test_impossible_labels_are_refused(labels: list[int]) -> None:
    with pytest.raises(PromptError, match="1 to 255 different values other than 0"):
        Predictor(Learner()).open(scan()[0], labels)


def test_pictures_have_no_sessions() -> None:
    image, _ = scan()
    with pytest.raises(PromptError, match="a task that predicts labels"):
        Predictor(Learner()).prompt([image], [image], "denoising").open(image)


def test_updates_are_the_changed_slices_from_the_correction_outward() -> None:
    volume, truth = scan((32, 32, 12))
    session = session_of(volume)
    session.correct(1, slice_of(truth, session, 1))
    before = session.predict().volume
    session.correct(6, np.where(slice_of(truth, session, 6) > 0, 3, 0))
    updates = list(session.updates())
    distances = [abs(index - 6) for index, _ in updates]
    assert distances[0] == 1
    assert distances == sorted(distances)
    latest = dict(updates)
    assert 6 not in latest, "a slice that is known whole does not change"
    expected = session.predict().volume
    for index in range(12):
        if index in latest:
            assert not np.array_equal(latest[index], slice_of(before, session, index))
            assert np.array_equal(latest[index], slice_of(expected, session, index))
        elif index != 6:
            assert np.array_equal(slice_of(before, session, index), slice_of(expected, session, index))
    assert not list(session.updates()), "nothing changed since"


def test_the_quality_of_a_session_is_that_of_its_labels_and_rises_with_what_is_given() -> None:
    volume, truth = scan()
    session = session_of(volume)
    with pytest.raises(PromptError, match="label one slice first"):
        session.quality()
    session.correct(2, slice_of(truth, session, 2))
    first = session.quality()
    assert set(first.by_label) == {3, 700}
    assert 0 < first.by_label[700] < first.by_label[3] <= 1  # smaller, with as much doubt around it
    for number in (0, 1, 3, 4, 5):
        session.correct(number, slice_of(truth, session, number))
    assert session.quality().by_label == {3: 1.0, 700: 1.0}


def test_slices_worth_correcting_are_open_ones() -> None:
    volume, truth = scan((32, 32, 12))
    session = session_of(volume)
    with pytest.raises(PromptError, match="label one slice first"):
        session.uncertain(2)
    session.correct(2, slice_of(truth, session, 2))
    chosen = session.uncertain(3)
    assert len(set(chosen)) == 3
    assert 2 not in chosen
    assert len(session.uncertain(100)) == 11


def test_most_whole_slices_decide_which_plane_is_predicted() -> None:
    volume, truth = scan((32, 32, 12))
    session = session_of(volume)
    assert session.plane == "axial"
    axis = SlicePlane(volume, "sagittal").axis
    for index in (12, 16, 20):
        session.correct(index, truth.voxels.take(index, axis), "sagittal")
    assert session.plane == "sagittal"
    labels = session.predict().volume.voxels
    assert np.array_equal(labels.take(16, axis), truth.voxels.take(16, axis))
    assert (labels == truth.voxels).mean() > 0.9


def test_a_finished_volume_is_the_prediction() -> None:
    volume, truth = scan()
    session = session_of(volume)
    session.correct(2, slice_of(truth, session, 2))
    assert np.array_equal(session.finish().voxels, truth.voxels)


def test_nothing_is_computed_again_where_nothing_changed() -> None:
    volume, truth = scan((32, 32, 12))
    learner = Learner()
    session = Session(learner, volume, START)
    session.correct(1, slice_of(truth, session, 1))
    stroke = np.full(slice_of(truth, session, 4).shape, 255)
    stroke[4:6, 4:6] = 3
    session.correct(4, stroke)
    first = session.predict().volume.voxels
    counts = learner.embedded, learner.encoded
    assert list(session.updates()) == []
    assert np.array_equal(session.predict().volume.voxels, first)
    assert (learner.embedded, learner.encoded) == counts


def test_a_slice_with_strokes_comes_first() -> None:
    volume, truth = scan((32, 32, 12))
    session = session_of(volume)
    session.correct(2, slice_of(truth, session, 2))
    session.predict()
    stroke = np.full((32, 32), 255)
    stroke[4:6, 4:6] = 3
    session.correct(7, stroke)
    assert next(session.updates())[0] == 7


def test_a_tasks_prediction_says_where_it_is_doubtful() -> None:
    volume, truth = scan(seed=9)
    session = prompted(Learner()).open(volume)
    doubts = session.doubts()
    assert set(doubts) == set(range(volume.shape[2]))
    assert session.uncertain(1)
    session.correct(2, slice_of(truth, session, 2))
    assert 2 not in session.doubts()


def test_strokes_of_another_plane_are_predicted_in_it() -> None:
    volume, truth = scan((32, 32, 12))
    session = session_of(volume)
    axis = SlicePlane(volume, "coronal").axis
    stroke = np.where(truth.voxels.take(16, axis) > 0, truth.voxels.take(16, axis), 255)
    session.correct(16, stroke, "coronal")
    assert session.plane == "coronal"
    assert session.predict().volume.values


def test_slices_that_are_predicted_together() -> None:
    slices = list(range(40))
    assert outward(21, 20, slices) == [21, 22]
    assert outward(23, 20, slices) == [23, 24, 25, 26, 27, 28]
    assert outward(14, 20, slices) == list(range(14, 2, -1))
    assert outward(38, 0, slices) == [38, 39]


def test_errors_that_an_uncertainty_stands_for() -> None:
    probability = np.array([0.99, 0.9, 0.6])
    entropy = -(probability * np.log2(probability) + (1 - probability) * np.log2(1 - probability))
    assert np.allclose(likely_errors(entropy, 1), 1 - probability, atol=0.005)
    assert likely_errors(np.array([1.0]), 3)[0] == 0.5


def test_labels_that_lie_elsewhere_in_distant_slices_stay_in_view() -> None:
    """Magnified about the labels of neighboring slices, a structure that runs across the volume would be cut off."""
    truth = np.zeros((SIZE, SIZE, 24), np.uint8)
    for number in range(24):
        truth[12:18, 2 + number : 8 + number, number] = 3
    volume = Volume(100 + 40 * (truth > 0) + np.zeros(truth.shape, np.float32), np.diag([1, 1, 3, 1]))
    session = session_of(volume)
    for number in (1, 2, 3):
        session.correct(number, truth[:, :, number])
        assert np.array_equal(session.predict().volume.voxels, truth)


def test_a_structure_that_stays_where_it_is_is_magnified() -> None:
    truth = np.zeros((SIZE, SIZE, 24), np.uint8)
    truth[12:18, 10:16] = 3
    volume = Volume(100 + 40 * (truth > 0) + np.zeros(truth.shape, np.float32), np.diag([1, 1, 3, 1]))
    session = session_of(volume)
    for number in (1, 2, 3):
        session.correct(number, truth[:, :, number])
    assert (session.predict().volume.voxels != truth).sum() < 0.1 * truth.astype(bool).sum()
    engine = session._engine.current
    assert engine is not None
    assert engine.features.query.frames[0].source.rows < SIZE


def test_a_long_session_keeps_no_more_than_two_answers_of_the_network() -> None:
    volume, truth = scan((32, 32, 6))
    session = session_of(volume)
    for number in range(12):
        session.correct(number % 6, np.roll(slice_of(truth, session, number % 6), number, 0))
        session.predict()
        if number % 2:
            session.undo()
    engine = session._engine.current
    assert engine is not None
    kept = sum(array.nbytes for array in engine._log_odds.entries.values())
    assert 0 < kept <= 2 * 6 * len(session.values) * SIZE * SIZE * 2
    assert set(engine._states) <= set(engine.annotated)


def test_labels_that_no_corrected_slice_shows_stay_as_the_task_predicted_them() -> None:
    volume, truth = scan()
    doubts = Volume(np.zeros(volume.shape, np.float32), volume.affine)
    sure = Confidence(volume.plane, np.ones(len(volume.pictures(volume.plane))), {3: 0.9, 700: 0.8})
    first = Prediction(truth, doubts, confidence=sure)
    session = Session(Learner(), volume, SessionStart((3, 700), "other", first=lambda _: first))
    one_label = slice_of(truth, session, 2).copy()
    one_label[one_label == 700] = 0
    session.correct(2, one_label)
    predicted = session.predict().volume
    assert np.array_equal(slice_of(predicted, session, 2), one_label)
    assert np.array_equal(slice_of(predicted, session, 4), slice_of(truth, session, 4))
    assert session.quality().by_label[700] == quality_of(first).by_label[700]
    no_label = np.where(slice_of(truth, session, 3) == 700, 700, 0)
    no_label[:, : no_label.shape[1] // 2] = 0
    session.correct(3, no_label)
    assert session.quality().by_label[700] != quality_of(first).by_label[700]
