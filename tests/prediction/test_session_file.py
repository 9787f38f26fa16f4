"""Session files: a volume and its corrections, as they were."""

from pathlib import Path

import numpy as np
import pytest

from mvg.errors import FileError, PromptError, WeightsError
from mvg.prediction.predictor import Predictor
from tests.prediction.learner import Learner
from tests.prediction.scans import scan


def corrected(learner: Learner, path: Path) -> np.ndarray:
    """Save a session of three corrections, one of them undone; returns what it predicts."""
    volume, truth = scan()
    session = Predictor(learner).open(volume, labels=[3, 700])
    session.correct(2, truth.voxels.take(2, 2))
    stroke = np.full(truth.voxels.shape[:2], 255)
    stroke[4:6, 4:6] = 3
    session.correct(4, stroke)
    session.correct(1, np.zeros_like(stroke))
    session.undo()
    session.save(path)
    return session.predict().volume.voxels


def test_a_session_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    learner = Learner()
    expected = corrected(learner, tmp_path / "one.mvgsession")
    session = Predictor(learner).open_session(tmp_path / "one.mvgsession")
    assert session.volume.affine.tobytes() == scan()[0].affine.tobytes()
    assert np.array_equal(session.volume.voxels, scan()[0].voxels)
    assert np.array_equal(session.predict().volume.voxels, expected)
    assert session.redo(), "also what was undone is kept"
    assert not session.predict().volume.voxels.take(1, 2).any()
    assert session.undo()
    assert session.undo()
    assert session.undo()
    assert not session.undo()


def test_a_session_of_a_task_goes_on_with_its_task(tmp_path: Path) -> None:
    learner = Learner()
    (image, labels), (volume, truth) = scan(seed=0), scan(seed=9)
    task = Predictor(learner).prompt([image], [labels])
    session = task.open(volume)
    session.correct(2, truth.voxels.take(2, 2))
    session.save(tmp_path / "one.mvgsession")
    again = task.open_session(tmp_path / "one.mvgsession")
    assert np.array_equal(again.predict().volume.voxels, session.predict().volume.voxels)
    other = Predictor(learner).open(volume, labels=[3])
    other.save(tmp_path / "other.mvgsession")
    with pytest.raises(PromptError, match="open it with its own task"):
        task.open_session(tmp_path / "other.mvgsession")


def test_other_weights_and_damaged_files_are_refused(tmp_path: Path) -> None:
    corrected(Learner(), tmp_path / "one.mvgsession")
    other = Learner()
    next(other.parameters()).data.add_(1)
    with pytest.raises(WeightsError, match="was saved with other weights"):
        Predictor(other).open_session(tmp_path / "one.mvgsession")
    whole = (tmp_path / "one.mvgsession").read_bytes()
    (tmp_path / "half.mvgsession").write_bytes(whole[: len(whole) // 2])
    for name in ("half.mvgsession", "none.mvgsession"):
        with pytest.raises(FileError, match="cannot be read as a session"):
            Predictor(Learner()).open_session(tmp_path / name)


def test_a_session_that_cannot_be_written_is_unharmed_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, truth = scan()
    session = Predictor(Learner()).open(volume, labels=[3, 700])
    session.correct(2, truth.voxels.take(2, 2))
    with pytest.raises(FileError, match=r"a name that ends in \.mvgsession"):
        session.save(tmp_path / "one.zip")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mvg.prediction.session_file.save_file", full)
    with pytest.raises(FileError, match="No space left on device"):
        session.save(tmp_path / "one.mvgsession")
    assert list(tmp_path.iterdir()) == []
    assert np.array_equal(session.predict().volume.voxels, truth.voxels)
