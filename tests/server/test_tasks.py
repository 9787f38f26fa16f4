"""Tasks: names, labels, examples; what is in use stays."""

from pathlib import Path

import numpy as np
import pytest

from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap
from tests.server.clients import Client, make_studies, numbers_of, ras, serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three studies, two with labels beside them."""
    truths = make_studies(tmp_path / "studies", 3)
    for number in (0, 1):
        write(truths[number], tmp_path / "studies" / f"scan{number}_label.nii.gz")
    return tmp_path / "studies"


def patch(client: Client, task, body, status: int = 200):
    return client._json(client.http.patch(f"/api/v1/tasks/{task['id']}", json=body), status)


def test_labels_get_the_next_free_values_and_colors(client: Client) -> None:
    body = {"name": " Liver  and vessels ", "labels": [{"name": "liver"}, {"name": "vein", "value": 1}, {"name": "x"}]}
    task = client.post("/tasks", body, status=201)
    assert task["name"] == "Liver and vessels"
    assert [label["value"] for label in task["labels"]] == [2, 1, 3]
    assert len({label["color"] for label in task["labels"]}) == 3
    assert client.get("/tasks")["tasks"] == [task]
    assert client.get(f"/tasks/{task['id']}") == task


def test_examples_beside_studies_bring_their_labels(client: Client, truths: list[LabelMap]) -> None:
    studies = client.studies()
    task = client.post("/tasks", {"name": "found", "labels": []}, status=201)
    task = client.post(f"/tasks/{task['id']}/examples", {"study": studies[0]["id"]}, status=201)
    assert [label["value"] for label in task["labels"]] == [3, 700]
    assert "already" in client.post(f"/tasks/{task['id']}/examples", {"study": studies[0]["id"]}, status=409)["error"]
    assert "no labels beside" in client.post(f"/tasks/{task['id']}/examples", {"study": studies[2]["id"]}, 422)["error"]
    task = client.post(f"/tasks/{task['id']}/examples/beside", status=201)
    assert [example["study"] for example in task["examples"]] == [studies[0]["id"], studies[1]["id"]]
    assert client.studies(task=task["id"])[0]["is_example"]
    session = client.session(task, studies[2])
    client.events(f"/sessions/{session['id']}/predict")
    gone = client.http.delete(f"/api/v1/tasks/{task['id']}/examples/{task['examples'][0]['id']}").json()
    assert len(gone["examples"]) == 1


def test_uploaded_pairs_are_examples(client: Client, folder: Path, truths: list[LabelMap]) -> None:
    client.studies()
    task = client.task()
    files = {
        name: (f"{name}.nii.gz", (folder / file).read_bytes())
        for name, file in (("image", "scan0.nii.gz"), ("target", "scan0_label.nii.gz"))
    }
    url = f"/api/v1/tasks/{task['id']}/examples/upload"
    assert client.http.post(url, files=files).json()["examples"][0]["origin"] == "upload"
    session = client.session(task, client.studies()[2])
    client.events(f"/sessions/{session['id']}/predict")
    files["target"] = ("b.nii.gz", b"junk")
    before = sorted(path.name for path in (folder / "mvg" / "tasks" / task["id"] / "examples").iterdir())
    assert client.http.post(url, files=files).status_code == 422
    assert sorted(path.name for path in (folder / "mvg" / "tasks" / task["id"] / "examples").iterdir()) == before


def test_labels_that_no_example_shows_can_be_corrected(client: Client, truths: list[LabelMap]) -> None:
    studies = client.studies()
    labels = [{"name": "box", "value": 3}, {"name": "small", "value": 700}, {"name": "new", "value": 9}]
    task = client.post("/tasks", {"name": "three", "labels": labels}, status=201)
    task = client.post(f"/tasks/{task['id']}/examples", {"study": studies[0]["id"]}, status=201)
    session = client.session(task, studies[1])
    client.events(f"/sessions/{session['id']}/predict")
    truth = ras(truths[1], numbers_of(truths[1]))
    assert np.array_equal(client.array(f"/sessions/{session['id']}/labels.nii"), truth)
    drawn = np.where(truth[:, :, 2] == 1, 3, truth[:, :, 2])
    client.correct(session, 2, 2, drawn)
    assert client.events(f"/sessions/{session['id']}/predict")[-1][0] == "end"
    assert np.array_equal(client.array(f"/sessions/{session['id']}/labels.nii")[:, :, 2], drawn)


def test_labels_are_renamed_and_appended_and_stay_while_used(client: Client) -> None:
    task, study = client.task(), client.studies()[2]
    session = client.session(task, study)
    client.correct(session, 2, 1, np.full((32, 32), 2))
    first, second = task["labels"]
    renamed = {**first, "name": "cube"}
    more = {"name": "third", "value": 40}
    changed = patch(client, task, {"name": "cubes", "labels": [renamed, second, more]})
    assert [label["name"] for label in changed["labels"]] == ["cube", "small box", "third"]
    assert "in use" in patch(client, task, {"labels": [first]}, 409)["error"]
    assert [label["value"] for label in patch(client, task, {"labels": [second, first]})["labels"]] == [3, 700]
    client.correct(session, 2, 2, np.full((32, 32), 2))
    reply = client.post("/sessions", {"task": task["id"], "study": study["id"]})
    assert reply["undo"] == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": ""}, "a name of 0 characters"), ({"name": "x", "kind": "magic"}, "no kind of task is called 'magic'"),
        ({"name": "x", "labels": [{"name": "a", "value": 0}]}, "different values other than 0"),
        ({"name": "x", "labels": [{"name": "a", "value": 1}, {"name": "b", "value": 1}]}, "different values"),
        ({"name": "x", "labels": [{"name": "a", "color": "red"}]}, "#rrggbb"),
        ({"name": "x", "labels": [{"name": "a", "value": 2**40}]}, "32 bits"),
        ({"name": "x", "kind": "synthesis", "labels": [{"name": "a"}]}, "it predicts pictures"),
        ({"name": "x", "labels": [{"name": str(n)} for n in range(251)]}, "at most 250"), ({}, "'name' in the request"),
    ],
)  # fmt: skip
def test_bad_tasks_are_refused_in_a_line(client: Client, body, message: str) -> None:
    assert message in client.post("/tasks", body, status=422)["error"]
    assert client.get("/tasks")["tasks"] == []


def test_a_deleted_task_is_in_the_trash(client: Client, folder: Path) -> None:
    task = client.task()
    session = client.session(task, client.studies()[0])
    client.correct(session, 2, 1, np.ones((32, 32)))
    assert client.http.delete(f"/api/v1/tasks/{task['id']}").status_code == 204
    assert (folder / "mvg" / "trash" / task["id"] / "sessions").is_dir()
    assert client.get(f"/sessions/{session['id']}", status=404)
    assert client.get("/tasks")["tasks"] == []


def test_tasks_are_there_after_a_restart(folder: Path) -> None:
    with serving(folder) as client:
        studies = client.studies()
        task = client.post(f"/tasks/{client.task()['id']}/examples", {"study": studies[0]["id"]}, status=201)
    (folder / "scan0_label.nii.gz").unlink()
    with serving(folder) as client:
        client.studies()
        again = client.get(f"/tasks/{task['id']}")
        assert {**again, "message": None} == task
        assert "scan0" in again["message"], "the example that cannot be read is named"


def test_a_task_without_labels_opens_nothing(client: Client) -> None:
    task = client.post("/tasks", {"name": "empty"}, status=201)
    reply = client.post("/sessions", {"task": task["id"], "study": client.studies()[2]["id"]}, status=409)
    assert "add a label" in reply["error"]


def test_a_void_is_painted_and_filled(client: Client) -> None:
    studies = client.studies()
    task = client.post("/tasks", {"name": "fill", "kind": "inpainting"}, status=201)
    body = {"study": studies[0]["id"], "target": studies[0]["id"]}
    task = client.post(f"/tasks/{task['id']}/examples", body, status=201)
    session = client.session(task, studies[2])
    assert session["target_type"] == "image"
    void = np.zeros((32, 32), np.uint8)
    void[4:8, 4:8] = 1
    client.correct(session, 2, 3, void)
    assert client.get(f"/sessions/{session['id']}")["void_pixels"] == 16
    assert client.get(f"/sessions/{session['id']}/prediction.nii", status=404)
    events = client.events(f"/sessions/{session['id']}/predict")
    assert events[-1][0] == "end"
    picture = client.array(f"/sessions/{session['id']}/prediction.nii")
    assert picture.shape == (32, 32, 6)
    assert client.array(f"/sessions/{session['id']}/labels.nii").sum() == 16
    client.post(f"/sessions/{session['id']}/undo")
    assert client.get(f"/sessions/{session['id']}")["void_pixels"] == 0
    bad = {"slices": [{"axis": 2, "index": 0, "runs": [[0, 1, 2]]}]}
    assert "class number 2" in client.post(f"/sessions/{session['id']}/corrections", bad, status=422)["error"]
