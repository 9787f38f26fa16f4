"""Sessions of pictures: a void that is painted, and the picture that a task predicts for it."""

import numpy as np
import pytest

from mvg.errors import GeometryError, PromptError
from mvg.imaging.volume import Volume
from mvg.prediction.picture_session import PictureSession
from mvg.prediction.predictor import Predictor
from tests.prediction.learner import Filler
from tests.prediction.scans import scan


def test_the_void_is_at_the_lowest_intensity() -> None:
    volume, _ = scan()
    session = PictureSession(volume)
    assert session.query is volume
    void = np.zeros((32, 32), np.uint8)
    void[3:9, 4:7] = 1
    session.correct(2, void)
    expected = volume.voxels.copy()
    expected[3:9, 4:7, 2] = volume.voxels.min()
    assert np.array_equal(session.query.voxels, expected)
    assert session.undo()
    assert session.query is volume
    assert session.redo()
    assert not session.redo()
    assert len(session.corrections) == 1


def test_colors_keep_their_channels() -> None:
    session = PictureSession(Volume(np.full((4, 5, 1, 3), 7.0) + np.arange(3), np.eye(4)))
    session.correct(0, np.ones((4, 5), np.uint8))
    assert (session.query.voxels == 7).all()


def test_a_task_predicts_the_picture_of_what_was_painted() -> None:
    volume, _ = scan()
    task = Predictor(Filler(), "made").prompt([volume], [volume], "inpainting")
    session = PictureSession(volume)
    before = session.predict(task).volume
    void = np.full((32, 32), 255, np.uint8)
    void[10:20, 10:20] = 1
    session.correct(2, void)
    after = session.predict(task).volume
    assert not np.array_equal(before.voxels[10:20, 10:20, 2], after.voxels[10:20, 10:20, 2])
    assert np.array_equal(before.voxels[..., 4], after.voxels[..., 4])


def test_what_is_no_void_is_refused() -> None:
    session = PictureSession(scan()[0])
    with pytest.raises(PromptError, match="paint the void only"):
        session.correct(0, np.full((32, 32), 2))
    with pytest.raises(GeometryError, match="slice 9"):
        session.correct(9, np.ones((32, 32), np.uint8))
    assert session.corrections == ()
