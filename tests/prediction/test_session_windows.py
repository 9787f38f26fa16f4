"""A session without a task sees CT through the window that shows what is labeled."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import CT_WINDOW, Window
from mvg.prediction.annotations import Annotations, Correction
from mvg.prediction.session import Session
from mvg.prediction.session_start import UNKNOWN, SessionStart
from mvg.prediction.session_windows import SessionWindows
from tests.prediction.bodies import BONE, BRAIN, CHEST, CT, MR, body, changed, dice, predictor

LUNG = Window.named("lung")


def annotated(volume: Volume, labels: NDArray[np.integer], known: NDArray[np.bool_] | None = None) -> Annotations:
    """The middle slice of a volume, labeled as a whole or where it is known."""
    annotations = Annotations(volume)
    mask = np.ones(labels.shape, np.uint8) if known is None else known.astype(np.uint8)
    annotations.correct(Correction(2, 1, labels.astype(np.uint8), mask))
    return annotations


@pytest.mark.parametrize(
    ("levels", "expected"),
    [(CHEST, LUNG), (BONE, Window.named("bone")), (BRAIN, Window.named("brain")), (CT, CT_WINDOW)],
)
@pytest.mark.parametrize("offset", [0.0, 1024.0])
def test_the_first_labeled_slice_decides(levels: tuple[float, ...], expected: Window, offset: float) -> None:
    image, labels = body(3, levels)
    volume = changed(image, lambda voxels: voxels + offset)
    windows = SessionWindows(volume, SessionStart((1, 2), "CT"))
    annotations = annotated(volume, labels.voxels[:, :, 1])
    assert windows.of(Annotations(volume)) == (CT_WINDOW.shifted(offset),)
    assert windows.of(annotations) == (expected.shifted(offset),)
    annotations.correct(Correction(2, 0, np.ones(labels.shape[:2], np.uint8), np.ones(labels.shape[:2], np.uint8)))
    assert windows.of(annotations) == (expected.shifted(offset),), "later slices change nothing"
    annotations.undo()
    annotations.undo()
    assert windows.of(annotations) == (CT_WINDOW.shifted(offset),)


def test_strokes_decide_until_a_slice_is_labeled_as_a_whole() -> None:
    volume, labels = body(3, CHEST)
    stroke = np.zeros(labels.shape[:2], bool)
    rows, columns = np.nonzero(labels.voxels[:, :, 1] == 1)
    stroke[rows[len(rows) // 4] : rows[len(rows) // 4] + 3, columns[len(rows) // 4]] = True
    inside = np.where(stroke, labels.voxels[:, :, 1], 0)
    windows = SessionWindows(volume, SessionStart((1, 2), "CT"))
    assert windows.of(annotated(volume, inside, stroke)) == (LUNG,)


def test_other_modalities_and_named_windows_stay() -> None:
    volume, labels = body(3, MR)
    annotations = annotated(volume, labels.voxels[:, :, 1])
    plain = SessionWindows(volume, SessionStart((1, 2), "other"))
    assert plain.of(annotations) == plain.of(Annotations(volume)) == (Window.fit(volume.voxels, "other"),)
    chest, labels = body(3, CHEST)
    named = SessionWindows(chest, SessionStart((1, 2), "CT", ct_window=CT_WINDOW))
    assert named.of(annotated(chest, labels.voxels[:, :, 1])) == (CT_WINDOW,)


def test_what_lies_in_the_lungs_is_predicted_whatever_the_offset(tmp_path: Path) -> None:
    image, truth = body(3, CHEST)
    results = []
    for offset in (0.0, 1024.0):
        session = predictor().open(changed(image, lambda voxels, offset=offset: voxels + offset), [1, 2], "CT")
        session.correct(1, truth.voxels[:, :, 1])
        results.append(whole(session))
        assert dice(results[-1], truth.voxels) > 0.9
    assert dice(results[0], results[1]) > 0.98
    session.save(tmp_path / "chest.mvgsession")
    again = predictor().open_session(tmp_path / "chest.mvgsession")
    assert np.array_equal(whole(again), results[1])


def test_a_stroke_is_seen_through_the_window_too() -> None:
    image, truth = body(3, CHEST)
    session = predictor().open(image, [1, 2], "CT")
    labels = np.full(truth.shape[:2], UNKNOWN)
    outside = truth.voxels[:, :, 1] == 0
    labels[:, ::6][outside[:, ::6]] = 0
    for value in (1, 2):
        rows, columns = np.nonzero(truth.voxels[:, :, 1] == value)
        labels[rows[::5], columns[::5]] = value
    session.correct(1, labels)
    assert dice(whole(session)[:, :, 1], truth.voxels[:, :, 1]) > 0.85


def whole(session: Session) -> NDArray[np.integer]:
    labels = session.predict().volume
    assert isinstance(labels, LabelMap)
    return labels.voxels
