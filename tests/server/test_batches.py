"""Batches: all studies of a folder, in turns with sessions; cancelled, interrupted and resumed."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mvg.imaging.files import read_labels, write
from mvg.imaging.volume import LabelMap
from tests.prediction.learner import Learner
from tests.server.clients import Client, events_of, make_studies, numbers_of, ras, serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four studies, the first with labels beside it."""
    truths = make_studies(tmp_path / "studies", 4)
    write(truths[0], tmp_path / "studies" / "scan0_label.nii.gz")
    return tmp_path / "studies"


class Slow(Learner):
    """Answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.allowed = threading.Event()
        self.answering = threading.Event()

    def answer(self, *arguments: Any) -> Any:
        self.answering.set()
        assert self.allowed.wait(20)
        return super().answer(*arguments)


def task_of(client: Client) -> Any:
    """A task with the labeled study as example."""
    client.studies()
    return client.post(f"/tasks/{client.task()['id']}/examples/beside", status=201)


def ended(client: Client, batch: Any, *states: str) -> Any:
    """The batch, when it is in one of these states."""
    for _ in range(2000):
        batch = client.get(f"/batches/{batch['id']}")
        if batch["state"] in (states or ("finished",)):
            return batch
        time.sleep(0.01)
    raise AssertionError(batch)


def test_a_batch_predicts_all_studies(client: Client, folder: Path, tmp_path: Path) -> None:
    truths = make_studies(tmp_path / "truths", 4)
    task = task_of(client)
    batch = client.post("/batches", {"task": task["id"], "studies": "new"}, status=201)
    assert (batch["total"], batch["state"]) == (3, "running")
    batch = ended(client, batch)
    assert (batch["done"], batch["failed"], batch["current"]) == (3, [], None)
    studies = client.studies(task=task["id"])
    assert [study["state"] for study in studies] == ["example", "answered", "answered", "answered"]
    assert all(0 <= study["quality"] <= 1 for study in studies[1:])
    session = client.session(task, studies[1])
    assert session["has_prediction"]
    assert np.array_equal(client.array(f"/sessions/{session['id']}/labels.nii"), ras(truths[1], numbers_of(truths[1])))
    text = client.http.get(f"/api/v1/batches/{batch['id']}/events").text
    assert [name for name, _ in events_of(text)] == ["end"]
    assert "no study to predict" in client.post("/batches", {"task": task["id"]}, status=409)["error"]


def test_examples_are_not_new(client: Client, folder: Path) -> None:
    task = task_of(client)
    page = client.get("/studies", task=task["id"])
    assert (page["counts"]["new"], page["counts"]["example"]) == (3, 1)
    assert [row["name"] for row in client.studies(task=task["id"], state="example")] == ["scan0.nii.gz"]
    ended(client, client.post("/batches", {"task": task["id"], "studies": "new"}, status=201))
    assert client.get("/studies", task=task["id"])["counts"]["new"] == 0
    assert client.get("/studies")["counts"]["new"] == 4, "without a task"


def test_what_cannot_be_read_is_not_new(client: Client, folder: Path) -> None:
    task = task_of(client)
    broken = next(row for row in client.studies() if row["name"] == "scan2.nii.gz")
    (folder / "scan2.nii.gz").write_bytes((folder / "scan2.nii.gz").read_bytes()[:300])
    client.get(f"/studies/{broken['id']}", status=422)
    counts = client.get("/studies", task=task["id"])["counts"]
    assert (counts["new"], counts["unreadable"]) == (2, 1)
    assert client.post("/batches", {"task": task["id"]}, status=201)["total"] == 2


def test_corrected_and_finished_studies_are_never_touched(client: Client, folder: Path) -> None:
    task = task_of(client)
    studies = client.studies()
    session = client.session(task, studies[1])
    client.correct(session, 2, 2, np.zeros((32, 32)))
    batch = client.post("/batches", {"task": task["id"], "studies": [one["id"] for one in studies[1:]]}, status=201)
    batch = ended(client, batch)
    assert client.studies(task=task["id"])[1]["state"] == "correcting"
    assert not client.get(f"/sessions/{session['id']}")["has_prediction"]


def test_a_study_that_cannot_be_read_does_not_stop_the_others(client: Client, folder: Path) -> None:
    (folder / "scan2.nii.gz").write_bytes((folder / "scan2.nii.gz").read_bytes()[:300])
    batch = ended(client, client.post("/batches", {"task": task_of(client)["id"]}, status=201))
    assert batch["done"] == 2
    (failure,) = batch["failed"]
    assert "cannot be read" in failure["error"]


def test_a_batch_is_cancelled_and_resumed(folder: Path) -> None:
    model = Slow()
    with serving(folder, model) as client:
        task = task_of(client)
        batch = client.post("/batches", {"task": task["id"]}, status=201)
        assert model.answering.wait(20)
        assert "is running" in client.post("/batches", {"task": task["id"]}, status=409)["error"]
        threading.Timer(0.2, model.allowed.set).start()
        batch = client.post(f"/batches/{batch['id']}/cancel")
        assert batch["state"] == "cancelled"
        assert batch["done"] < 3
        batch = ended(client, client.post(f"/batches/{batch['id']}/resume"))
        assert (batch["done"], batch["state"]) == (3, "finished")


def test_an_interrupted_batch_goes_on_after_a_restart(folder: Path) -> None:
    with serving(folder) as client:
        task = task_of(client)
        batch = ended(client, client.post("/batches", {"task": task["id"]}, status=201))
        first = client.studies()[1]["id"]
    path = folder / "mvg" / "tasks" / task["id"] / "batches" / f"{batch['id']}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "running"}))
    prediction = folder / "mvg" / "tasks" / task["id"] / "sessions" / first
    kept = (prediction / "prediction.nii.gz").stat().st_mtime_ns
    for other in (prediction.parent).iterdir():
        if other.name != first:
            (other / "state.json").unlink()
    with serving(folder) as client:
        assert client.get(f"/batches/{batch['id']}")["state"] == "interrupted"
        assert ended(client, client.post(f"/batches/{batch['id']}/resume"))["done"] == 3
    assert (prediction / "prediction.nii.gz").stat().st_mtime_ns == kept, "what is finished stays"


def test_sessions_and_batches_take_turns(folder: Path) -> None:
    """A session's prediction ends while a batch goes on."""
    with serving(folder) as client:
        task, studies = task_of(client), client.studies()
        queue, owners = client.workbench.queue, []
        take = queue._take

        def noted() -> None:
            take()
            owners.append(threading.current_thread().name)

        queue._take = noted  # type: ignore[method-assign]
        batch = client.post("/batches", {"task": task["id"], "studies": [one["id"] for one in studies[1:]]}, status=201)
        session = client.session(client.task(), studies[0])
        for index in range(5):
            client.correct(session, 2, index, np.full((32, 32), 1 + index % 2))
            assert client.events(f"/sessions/{session['id']}/predict")[-1][0] == "end"
        ended(client, batch)
        assert batch["id"] in owners
        assert len(set(owners)) > 1


def test_a_task_without_examples_predicts_nothing(client: Client) -> None:
    client.studies()
    assert "use it as example" in client.post("/batches", {"task": client.task()["id"]}, status=409)["error"]


def test_a_picture_kind_predicts_pictures(client: Client, folder: Path, truths: list[LabelMap]) -> None:
    studies = client.studies()
    task = client.post("/tasks", {"name": "other contrast", "kind": "synthesis"}, status=201)
    body = {"study": studies[1]["id"], "target": studies[1]["id"]}
    task = client.post(f"/tasks/{task['id']}/examples", body, status=201)
    batch = ended(client, client.post("/batches", {"task": task["id"], "studies": [studies[2]["id"]]}, status=201))
    assert batch["failed"] == []
    session = client.session(task, studies[2])
    assert client.array(f"/sessions/{session['id']}/prediction.nii").shape == (32, 32, 6)
    assert client.array(f"/sessions/{session['id']}/difference.nii").dtype == np.float32
    exported = folder / "out.nii.gz"
    exported.write_bytes(client.content(f"/sessions/{session['id']}/export"))
    with pytest.raises(Exception, match="fractions"):
        read_labels(exported)
