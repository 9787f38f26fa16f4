"""The client for programs, against a server."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import mvg_client
import numpy as np
import pytest
from mvg_client import UNKNOWN, ServerError, Workbench

from mvg.imaging.files import read_labels
from mvg.imaging.volume import LabelMap
from tests.architecture.sources import ROOT, imported
from tests.server.clients import make_studies, numbers_of, ras, serving
from tests.server.processes import served, toy_weights


@pytest.fixture
def truths(tmp_path: Path) -> list[LabelMap]:
    return make_studies(tmp_path / "studies", 3)


@pytest.fixture
def bench(tmp_path: Path, truths: list[LabelMap]) -> Iterator[Workbench]:
    with serving(tmp_path / "studies") as client:
        client.studies()
        yield Workbench("http://127.0.0.1", http=client.http)


def test_from_the_first_slice_to_the_last_study(bench: Workbench, truths: list[LabelMap], tmp_path: Path) -> None:
    labels = [{"name": "box", "value": 3}, {"name": "small box", "value": 700}]
    task = bench.create_task("boxes", labels)
    studies = list(bench.studies())
    truth = ras(truths[0], numbers_of(truths[0]))
    session = bench.open(task, studies[0])
    assert bench.image(studies[0]).shape == session.shape == truth.shape
    change = session.correct(2, 2, truth[:, :, 2])
    assert (change.revision, change.undo, change.state) == (1, 1, "correcting")
    assert np.array_equal(change.slices[0].numbers, truth[:, :, 2])
    for update in session.predict():
        assert np.array_equal(update.numbers, truth.take(update.index, update.axis))
    assert np.array_equal(session.labels(), truth)
    given = session.corrections()
    assert np.array_equal(given[:, :, 2], truth[:, :, 2])
    assert (given[:, :, 3] == UNKNOWN).all()
    assert session.uncertain(2)[0] == 2
    assert session.undo().redo == 1
    assert session.redo().redo == 0
    exported = read_labels(session.export(tmp_path / "out.nii.gz"))
    assert np.array_equal(exported.voxels, truths[0].voxels)
    assert session.finish(example=True)["state"] == "done"
    assert bench.predict_all(task).wait()["done"] == 2
    assert np.array_equal(bench.labels_of(task, studies[1]), ras(truths[1], numbers_of(truths[1])))
    assert [study["state"] for study in bench.studies(task, state="answered")] == ["answered", "answered"]
    assert bench.save_task(task, tmp_path / "boxes.mvgtask").stat().st_size > 1000
    session.close()
    assert session.facts()["state"] == "done"


def test_uploads(bench: Workbench, tmp_path: Path) -> None:
    (study,) = bench.upload(tmp_path / "studies" / "scan0.nii.gz")
    assert study["origin"] == "upload"


def test_errors_are_the_servers_line(bench: Workbench) -> None:
    with pytest.raises(ServerError, match="expected the id of a task") as error:
        bench.open({"id": "t-none"}, {"id": "x"})
    assert error.value.status == 404
    with pytest.raises(ServerError, match="use it as example"):
        bench.predict_all(bench.create_task("empty", ["a"]))


def test_a_server_that_is_not_there() -> None:
    with Workbench("http://127.0.0.1:9") as bench, pytest.raises(ServerError, match="start it") as error:
        bench.info()
    assert error.value.status == 0


def test_a_token_and_events_as_they_come(tmp_path: Path, truths: list[LabelMap]) -> None:
    token = "a-token-of-enough-length"
    with served(tmp_path / "studies", toy_weights(tmp_path), "--token", token) as server:
        with pytest.raises(ServerError, match="no token"):
            Workbench(server.address).tasks()
        with Workbench(server.address, token) as bench:
            task = bench.create_task("boxes", ["a", "b"])
            while not (studies := list(bench.studies())):
                pass
            session = bench.open(task, studies[0])
            session.correct(2, 2, np.ones(session.shape[:2]))
            updates = session.predict()
            assert next(updates).axis == 2
            updates.close()
            assert session.undo().undo == 0, "a prediction that nobody reads does not hold up a correction"
            with pytest.raises(ServerError, match="label one slice first"):
                list(session.predict())


def test_slices_that_are_none() -> None:
    with pytest.raises(ValueError, match="two axes"):
        mvg_client.arrays.pack(np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="0 to 255"):
        mvg_client.arrays.pack(np.full((2, 2), 700))


def test_it_needs_neither_mvg_nor_torch() -> None:
    files = sorted((ROOT / "client" / "src").rglob("*.py"))
    assert files
    names = {name.split(".")[0] for path in files for name in imported(ast.parse(path.read_text(encoding="utf-8")))}
    project = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    allowed = {one.split(">=")[0] for one in project["dependencies"]} | {"mvg_client"}
    assert names - set(sys.stdlib_module_names) <= allowed
    code = "import sys, mvg_client; sys.exit(any(name in sys.modules for name in ('mvg', 'torch')))"
    environment = {"PYTHONPATH": str(ROOT / "client" / "src"), "PATH": ""}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    assert project["version"] == mvg_client.__version__
