"""Sessions through the interface: corrections, predictions, undo, acceptance; what was accepted outlives the server."""

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mvg.imaging.files import read, read_labels, write
from mvg.imaging.volume import LabelMap, Volume
from tests.imaging.grids import ORIENTATIONS, affine_of
from tests.server.clients import Client, numbers_of, packed, ras, serving, unpacked

UNKNOWN = 255


def opened(client: Client, truths: list[LabelMap], number: int = 0):
    """A session of a study without examples, and its true class numbers in RAS order."""
    task, study = client.task(), client.studies()[number]
    return client.session(task, study), ras(truths[number], numbers_of(truths[number]))


def newest_slices(events) -> dict[int, str]:
    """The newest pixels of each slice of a prediction."""
    return {data["index"]: data["zlib"] for name, data in events if name == "slice"}


def test_one_corrected_slice_predicts_the_others(client: Client, truths: list[LabelMap]) -> None:
    session, truth = opened(client, truths)
    assert (session["state"], session["can_predict"], session["plane"]) == ("new", False, 2)
    change = client.correct(session, 2, 2, truth[:, :, 2])
    assert (change["revision"], change["undo"], change["annotated"], change["state"]) == (1, 1, [2], "correcting")
    events = client.events(f"/sessions/{session['id']}/predict")
    assert events[0][0] == "start"
    name, end = events[-1]
    assert name == "end"
    assert end["revision"] == 1
    indices = [data["index"] for name, data in events if name == "slice"]
    assert {indices[0], indices[1]} == {1, 3}, "the slices beside the correction come first"
    for index, pixels in newest_slices(events).items():
        assert np.array_equal(unpacked(pixels, truth.shape[:2]), truth[:, :, index])
    assert np.array_equal(client.array(f"/sessions/{session['id']}/labels.nii"), truth)


@pytest.mark.parametrize("number", range(48))
def test_exported_voxels_are_those_that_were_painted_in_every_orientation(number: int, tmp_path: Path) -> None:
    affine = affine_of(ORIENTATIONS[number])
    rng = np.random.default_rng(number)
    image = Volume(rng.normal(size=(4, 5, 6)).astype(np.float32), affine)
    (tmp_path / "s").mkdir()
    write(image, tmp_path / "s" / "scan.nii.gz")
    painted = rng.integers(0, 3, image.shape).astype(np.uint8)
    in_ras = ras(image, painted)
    with serving(tmp_path / "s") as client:
        session = client.session(client.task(), client.studies()[0])
        assert np.allclose(client.array(f"/studies/{session['study']}/volume.nii"), ras(image, image.voxels))
        axis = number % 3
        for index in range(in_ras.shape[axis]):
            client.correct(session, axis, index, in_ras.take(index, axis))
        assert np.array_equal(client.array(f"/sessions/{session['id']}/corrections.nii"), in_ras)
        client.post(f"/sessions/{session['id']}/finish", {"example": False})
        content = client.content(f"/sessions/{session['id']}/export")
        (tmp_path / "out.nii.gz").write_bytes(content)
    exported = read_labels(tmp_path / "out.nii.gz")
    assert np.array_equal(exported.voxels, np.array([0, 3, 700])[painted])
    assert exported.affine.tobytes() == read(tmp_path / "s" / "scan.nii.gz").affine.tobytes()


def test_strokes_keep_what_they_do_not_touch(client: Client, truths: list[LabelMap]) -> None:
    session, truth = opened(client, truths)
    part = {"axis": 2, "index": 1, "runs": [[5, 3, 1], [40, 2, 2]]}
    client.post(f"/sessions/{session['id']}/corrections", {"slices": [part]})
    change = client.post(
        f"/sessions/{session['id']}/corrections", {"slices": [{"axis": 2, "index": 1, "runs": [[6, 1, 0]]}]}
    )
    expected = np.full(truth.shape[0] * truth.shape[1], UNKNOWN, np.uint8)
    expected[[5, 7]], expected[[40, 41]], expected[6] = 1, 2, 0
    given = unpacked(change["slices"][0]["corrections"], (-1,))
    assert np.array_equal(given, expected)
    assert change["drawn"] == [1]
    assert change["annotated"] == []


def test_a_slice_painted_whole_has_background_around_its_runs(client: Client, truths: list[LabelMap]) -> None:
    session, _ = opened(client, truths)
    part = {"axis": 1, "index": 7, "rest": "background", "runs": [[0, 4, 2]]}
    change = client.post(f"/sessions/{session['id']}/corrections", {"slices": [part]})
    pixels = unpacked(change["slices"][0]["corrections"], (-1,))
    assert pixels[:4].tolist() == [2, 2, 2, 2]
    assert not pixels[4:].any()
    assert change["plane"] == 1
    assert change["annotated"] == [7]
    volume = client.array(f"/sessions/{session['id']}/corrections.nii")
    assert (volume[:4, 7, 0] == 2).all(), "the lower axis is the fastest"


def test_undo_and_redo_take_steps_of_several_slices(client: Client, truths: list[LabelMap]) -> None:
    session, truth = opened(client, truths)
    parts = [{"axis": 2, "index": index, "zlib": packed(truth[:, :, index])} for index in (1, 2)]
    client.post(f"/sessions/{session['id']}/corrections", {"slices": parts})
    client.correct(session, 0, 3, truth[3])
    both = client.array(f"/sessions/{session['id']}/corrections.nii")
    change = client.post(f"/sessions/{session['id']}/undo")
    assert (change["undo"], change["redo"], len(change["slices"])) == (1, 1, 1)
    change = client.post(f"/sessions/{session['id']}/undo")
    assert [part["index"] for part in change["slices"]] == [1, 2]
    assert (client.array(f"/sessions/{session['id']}/corrections.nii") == UNKNOWN).all()
    assert "nothing to undo" in client.post(f"/sessions/{session['id']}/undo", status=409)["error"]
    client.post(f"/sessions/{session['id']}/redo")
    client.post(f"/sessions/{session['id']}/redo")
    assert np.array_equal(client.array(f"/sessions/{session['id']}/corrections.nii"), both)


def test_undo_brings_back_the_prediction_under_a_stroke(client: Client, truths: list[LabelMap]) -> None:
    session, truth = opened(client, truths)
    client.correct(session, 2, 2, truth[:, :, 2])
    client.events(f"/sessions/{session['id']}/predict")
    wrong = np.where(truth[:, :, 4] > 0, 0, 1).astype(np.uint8)
    client.correct(session, 2, 4, wrong)
    client.events(f"/sessions/{session['id']}/predict")
    assert np.array_equal(client.array(f"/sessions/{session['id']}/labels.nii")[:, :, 4], wrong)
    change = client.post(f"/sessions/{session['id']}/undo")
    assert np.array_equal(unpacked(change["slices"][0]["zlib"], truth.shape[:2]), truth[:, :, 4])


def test_a_stroke_that_is_sent_again_counts_once(client: Client, truths: list[LabelMap]) -> None:
    session, truth = opened(client, truths)
    first = client.correct(session, 2, 2, truth[:, :, 2], stroke="a")
    again = client.correct(session, 2, 2, truth[:, :, 2], stroke="a")
    assert (first["revision"], again["revision"], again["undo"]) == (1, 1, 1)
    assert again["slices"] == first["slices"]


def test_everything_is_there_after_a_restart(folder: Path, truths: list[LabelMap]) -> None:
    with serving(folder) as client:
        session, truth = opened(client, truths)
        client.correct(session, 2, 2, truth[:, :, 2])
        client.events(f"/sessions/{session['id']}/predict")
        client.correct(session, 2, 4, np.zeros_like(truth[:, :, 4]))
        client.correct(session, 2, 5, np.zeros_like(truth[:, :, 5]), stroke="last")
        client.post(f"/sessions/{session['id']}/undo")
        before = client.get(f"/sessions/{session['id']}")
        labels = client.array(f"/sessions/{session['id']}/labels.nii")
    (folder / "mvg" / "index.sqlite").unlink()
    with serving(folder) as client:
        assert client.studies(task=session["task"])[0]["state"] == "correcting", "the index is made again"
        assert client.get(f"/sessions/{session['id']}") == before
        assert np.array_equal(client.array(f"/sessions/{session['id']}/labels.nii"), labels)
        again = client.post(f"/sessions/{session['id']}/redo")
        assert again["undo"] == 3
        assert client.correct(session, 2, 5, truth[:, :, 5], stroke="last")["revision"] == again["revision"]


def test_sessions_leave_memory_and_come_back(client: Client, truths: list[LabelMap]) -> None:
    session, truth = opened(client, truths)
    client.correct(session, 2, 2, truth[:, :, 2])
    pool = client.workbench.sessions
    assert pool.release_idle(seconds=-1.0) == 1
    assert pool.in_memory() == []
    change = client.correct(session, 2, 3, truth[:, :, 3])
    assert change["annotated"] == [2, 3]
    client.http.delete(f"/api/v1/sessions/{session['id']}")
    assert pool.in_memory() == []
    assert client.post(f"/sessions/{session['id']}/undo")["annotated"] == [2]


def test_sessions_with_older_examples_leave_memory_sooner(client: Client, truths: list[LabelMap]) -> None:
    task, pool = client.task(), client.workbench.sessions
    sessions = [client.session(task, study) for study in client.studies()[:2]]
    for session, truth in zip(sessions, truths, strict=False):
        client.correct(session, 2, 2, ras(truth, numbers_of(truth))[:, :, 2])
        client.events(f"/sessions/{session['id']}/predict")
    assert pool.release_outdated(seconds=-1.0) == 0, "there are no examples yet"
    client.post(f"/sessions/{sessions[0]['id']}/finish", {"example": True})
    assert client.session(task, client.studies()[1])["annotated"] == [2], "opened again, with the example"
    assert pool.release_outdated() == 0, "they were used a moment ago"
    assert pool.release_outdated(seconds=-1.0) == 1
    assert pool.in_memory() == [sessions[1]["id"]]
    assert client.get(f"/sessions/{sessions[0]['id']}")["annotated"] == [2]


def test_a_session_that_has_left_memory_takes_no_more_strokes(client: Client, truths: list[LabelMap]) -> None:
    """A request may hold a session while it leaves memory: the stroke must go to the one that is opened anew."""
    session, truth = opened(client, truths)
    pool = client.workbench.sessions
    stale, calls = pool.get(session["id"]), []

    def change(live):
        calls.append(live)
        if len(calls) == 1:
            assert live is stale
            pool.release(session["id"])
        return live.undo() if live.core.strokes.depth[0] else live.description()

    client.correct(session, 2, 2, truth[:, :, 2])
    assert pool.change(session["id"], change)["undo"] == 0
    assert len(calls) == 2
    assert calls[1] is not stale


def test_accepted_labels_are_examples_of_the_next_study(client: Client, truths: list[LabelMap], folder: Path) -> None:
    session, truth = opened(client, truths)
    client.correct(session, 2, 2, truth[:, :, 2])
    client.events(f"/sessions/{session['id']}/predict")
    done = client.post(f"/sessions/{session['id']}/finish", {"example": True})
    assert done["state"] == "done"
    task = client.get(f"/tasks/{session['task']}")
    assert task["ready"]
    assert [example["origin"] for example in task["examples"]] == ["finished"]
    (path,) = (folder / "mvg" / "tasks" / session["task"] / "labelsTr").iterdir()
    assert np.array_equal(read_labels(path).voxels, truths[0].voxels)
    other = client.session(task, client.studies()[1])
    assert other["can_predict"]
    events = client.events(f"/sessions/{other['id']}/predict")
    assert events[-1][0] == "end"
    assert np.array_equal(client.array(f"/sessions/{other['id']}/labels.nii"), ras(truths[1], numbers_of(truths[1])))
    counts = client.get("/studies", task=task["id"])["counts"]
    assert counts == {"correcting": 0, "answered": 1, "new": 0, "example": 0, "done": 1}
    assert client.correct(session, 2, 0, truth[:, :, 0])["state"] == "correcting"


def test_nothing_is_accepted_that_was_neither_predicted_nor_painted(client: Client, truths: list[LabelMap]) -> None:
    session, truth = opened(client, truths)
    client.correct(session, 2, 2, truth[:, :, 2])
    assert "slices without labels" in client.post(f"/sessions/{session['id']}/finish", status=409)["error"]
    for index in range(truth.shape[2]):
        client.correct(session, 2, index, truth[:, :, index])
    assert client.post(f"/sessions/{session['id']}/finish")["state"] == "done"


def test_uncertain_slices_are_open_ones(client: Client, truths: list[LabelMap]) -> None:
    session, truth = opened(client, truths)
    assert "predict first" in client.get(f"/sessions/{session['id']}/uncertain", status=409)["error"]
    client.correct(session, 2, 2, truth[:, :, 2])
    client.events(f"/sessions/{session['id']}/predict")
    chosen = client.get(f"/sessions/{session['id']}/uncertain", count=3)
    assert chosen["axis"] == 2
    assert 2 not in chosen["slices"]


def test_copied_and_confirmed_slices_are_given_whole(client: Client, truths: list[LabelMap]) -> None:
    session, truth = opened(client, truths)
    client.correct(session, 2, 2, truth[:, :, 2])
    change = client.post(f"/sessions/{session['id']}/copy", {"axis": 2, "from": 2, "to": 3})
    assert np.array_equal(unpacked(change["slices"][0]["corrections"], truth.shape[:2]), truth[:, :, 2])
    client.events(f"/sessions/{session['id']}/predict")
    change = client.post(f"/sessions/{session['id']}/confirm", {"axis": 2, "index": 1})
    assert change["annotated"] == [1, 2, 3]


def test_clear_takes_everything_back_and_redo_brings_it_again(client: Client, truths: list[LabelMap]) -> None:
    session, truth = opened(client, truths)
    for index in (1, 2):
        client.correct(session, 2, index, truth[:, :, index])
    change = client.post(f"/sessions/{session['id']}/clear")
    assert (change["undo"], change["redo"], change["slices"]) == (0, 2, None)
    assert client.post(f"/sessions/{session['id']}/redo")["annotated"] == [1]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"axis": 2, "index": 6, "runs": [[0, 1, 1]]}, "slice 6 across axis 2; expected 0 to 5"),
        ({"axis": 2, "index": 1, "runs": [[1020, 9, 1]]}, "a run of 9 pixels from 1020 in a slice of 1024"),
        ({"axis": 2, "index": 1, "runs": [[0, 1, 3]]}, "the class number 3; expected 0 to 2"),
        ({"axis": 2, "index": 1, "zlib": "!"}, "cannot be decoded"),
        ({"axis": 2, "index": 1, "zlib": packed(np.zeros(5))}, "a slice of 5 bytes"),
        ({"axis": 2, "index": 1, "zlib": packed(np.zeros(10**6))}, "a slice of more bytes"),
        ({"axis": 2, "index": 1}, "both or neither of runs and zlib"),
        ({"axis": 3, "index": 1, "runs": []}, "'slices.1.axis' in the request"),
        ({"axis": 2, "index": 1, "runs": [[0, 1]]}, "'slices.1.runs.0' in the request"),
        ({"axis": 2, "index": 1, "runs": [], "more": 1}, "'slices.1.more' in the request"),
    ],
)
def test_bad_slices_are_refused_in_a_line(client: Client, truths: list[LabelMap], part, message: str) -> None:
    session, _ = opened(client, truths)
    good = {"axis": 2, "index": 0, "runs": [[0, 1, 1]]}
    reply = client.post(f"/sessions/{session['id']}/corrections", {"slices": [good, part]}, status=422)
    assert message in reply["error"]
    assert "\n" not in reply["error"]
    assert client.get(f"/sessions/{session['id']}")["revision"] == 0, "nothing of the step was taken"


def test_a_vanished_study_is_named_and_its_strokes_stay(client: Client, truths: list[LabelMap], folder: Path) -> None:
    session, truth = opened(client, truths)
    client.correct(session, 2, 2, truth[:, :, 2])
    client.workbench.sessions.release_idle(seconds=-1.0)
    shutil.move(folder / "scan0.nii.gz", folder.parent / "away.nii.gz")
    assert "put it back" in client.get(f"/sessions/{session['id']}", status=404)["error"]
    shutil.move(folder.parent / "away.nii.gz", folder / "scan0.nii.gz")
    assert client.get(f"/sessions/{session['id']}")["annotated"] == [2]


def test_unknown_ids_are_named(client: Client) -> None:
    for path in ("/sessions/t-1.abc", "/tasks/t-1", "/studies/abc", "/batches/b-1", "/sessions/..%2F..%2Fetc"):
        assert "expected" in client.get(path, status=404)["error"]


def test_a_full_disk_refuses_the_stroke_and_loses_nothing(client: Client, truths, monkeypatch) -> None:
    session, truth = opened(client, truths)
    client.correct(session, 2, 2, truth[:, :, 2])
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", _full_disk)
        body = {"slices": [{"axis": 2, "index": 3, "zlib": packed(truth[:, :, 3])}]}
        assert "free space" in client.post(f"/sessions/{session['id']}/corrections", body, status=507)["error"]
    assert client.get(f"/sessions/{session['id']}")["annotated"] == [2]
    assert client.correct(session, 2, 4, truth[:, :, 4])["annotated"] == [2, 4]
    client.workbench.sessions.release_idle(seconds=-1.0)
    assert client.get(f"/sessions/{session['id']}")["annotated"] == [2, 4]


def _full_disk(file: int) -> None:
    raise OSError(28, "No space left on device")


def test_pictures_are_sessions_of_one_slice(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 1)).astype(np.float32)
    (tmp_path / "s").mkdir()
    picture = Volume(pixels, np.diag([-1.0, -1, 1, 1]))
    write(picture, tmp_path / "s" / "film.jpg")
    with serving(tmp_path / "s") as client:
        session = client.session(client.task(), client.studies()[0])
        assert session["shape"] == [20, 30, 1]
        painted = np.zeros((20, 30), np.uint8)
        painted[3:5, 7] = 2
        client.correct(session, 2, 0, painted)
        client.post(f"/sessions/{session['id']}/finish")
        reply = client.http.get(f"/api/v1/sessions/{session['id']}/export")
        assert 'filename="film.png"' in reply.headers["content-disposition"]
        (tmp_path / "out.png").write_bytes(reply.content)
    exported = read_labels(tmp_path / "out.png")
    assert np.array_equal(exported.voxels[::-1, ::-1, 0], np.array([0, 3, 700])[painted])


def test_all_predictions_wait_in_one_queue(client: Client, truths: list[LabelMap]) -> None:
    """None waits elsewhere, where it would not get its turns."""
    study, queue, count = client.studies()[0], client.workbench.queue, 12
    sessions = [client.session(client.task(), study) for _ in range(count)]
    for session in sessions:
        client.correct(session, 2, 2, ras(truths[0], numbers_of(truths[0]))[:, :, 2])
    replies = []
    with queue.turn():
        threads = [
            threading.Thread(target=lambda path=path: replies.append(client.events(path)))
            for path in (f"/sessions/{session['id']}/predict" for session in sessions)
        ]
        for thread in threads:
            thread.start()
        for _ in range(2000):
            if queue.waiting == count:
                break
            time.sleep(0.01)
        assert queue.waiting == count
    for thread in threads:
        thread.join()
    assert [events[-1][0] for events in replies] == ["end"] * count


def test_memory_is_bounded(client: Client, truths: list[LabelMap], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mvg.server.session_pool.MEMORY_BYTES", 1)
    study = client.studies()[0]
    for _ in range(3):
        session = client.session(client.task(), study)
    kept = client.workbench.sessions.in_memory()
    assert session["id"] in kept
    assert len(kept) == 2, "the one before may still be in use"


def test_features_are_freed_and_computed_again(
    client: Client, truths: list[LabelMap], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvg.server.session_pool.MOST_WITH_FEATURES", 0)
    pool = client.workbench.sessions
    session, truth = opened(client, truths)
    client.correct(session, 2, 2, truth[:, :, 2])
    client.events(f"/sessions/{session['id']}/predict")
    first = client.array(f"/sessions/{session['id']}/labels.nii")
    live = pool.get(session["id"])
    size = live.nbytes
    pool.limit_features()
    assert live.nbytes < size
    client.correct(session, 2, 4, truth[:, :, 4])
    client.post(f"/sessions/{session['id']}/undo")
    client.events(f"/sessions/{session['id']}/predict")
    assert np.array_equal(client.array(f"/sessions/{session['id']}/labels.nii"), first)
