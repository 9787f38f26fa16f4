"""MONAI Label's protocol, by the client class of its own package and by requests as 3D Slicer's plug-in sends them."""

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mvg.imaging.files import read, read_labels, write
from mvg.imaging.volume import LabelMap
from mvg.server.index import Work
from tests.server.clients import Client, make_studies, numbers_of, serving
from tests.server.processes import served, toy_weights

INFO = [{"name": "box", "idx": 1}, {"name": "small box", "idx": 2}]


def client_module() -> ModuleType:
    """`monailabel/client/client.py` of the installed package; its other modules need libraries that mvg does not."""
    package = importlib.util.find_spec("monailabel")
    assert package is not None, "`make test` installs monailabel without its dependencies"
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0]) / "client" / "client.py"
    spec = importlib.util.spec_from_file_location("monailabel_client", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def monai(folder: Path, weights: Path, tmp_path: Path) -> Iterator[Any]:
    """MONAI Label's client of a running server."""
    with served(folder, weights) as server:
        while server.http.get("/api/v1/studies").json()["scanning"]:
            pass
        yield client_module().MONAILabelClient(f"{server.address}/monailabel", str(tmp_path))


def map_file(labels: LabelMap, path: Path) -> Path:
    """A label map as Slicer exports it: numbered 1, 2, ... in the order of the segments."""
    numbers = numbers_of(labels)
    write(LabelMap(numbers, labels.affine), path)
    return path


def test_the_whole_loop_by_the_client_class(monai: Any, truths: list[LabelMap], tmp_path: Path, folder: Path) -> None:
    assert not monai.auth_enabled()
    assert monai.info()["models"] == {}
    first = monai.next_sample("uncertain", {})["id"]
    assert first.startswith("scan0_")
    labels = map_file(truths[0], tmp_path / "label.nii.gz")
    saved = monai.save_label(first, str(labels), params={"label_info": INFO})
    assert saved["image"] == first
    (name, model), *_ = monai.info()["models"].items()
    assert model["labels"] == {"box": 1, "small box": 2}
    objects = monai.datastore()["objects"]
    assert objects[first]["labels"]["final"]["info"]["params"]["label_names"] == model["labels"]
    kept = read_labels(monai.download_label(first, "final"))
    assert np.array_equal(kept.voxels, numbers_of(truths[0]))
    second = monai.next_sample("uncertain", {})["id"]
    assert second.startswith("scan1_")
    path, params = monai.infer(name, second, {})
    assert params["label_names"] == model["labels"]
    predicted = read_labels(path)
    assert predicted.same_grid(read(folder / "scan1.nii.gz"), tolerance=0.0)
    assert set(predicted.values) <= {1, 2}
    monai.save_label(second, str(map_file(truths[1], tmp_path / "b.nii.gz")), params={"label_info": INFO})
    assert monai.next_sample("first", {}) == {}
    assert len(monai.info()["models"]) == 1
    assert not monai.train_status(check_if_running=True)


def test_sessions_and_uploads_by_the_client_class(monai: Any, truths, tmp_path: Path, folder: Path) -> None:
    study = monai.next_sample("first", {})["id"]
    monai.save_label(study, str(map_file(truths[0], tmp_path / "a.nii.gz")), params={"label_info": INFO})
    (name,) = monai.info()["models"]
    shutil.copy(folder / "scan1.nii.gz", tmp_path / "other.nii.gz")
    session = monai.create_session(str(tmp_path / "other.nii.gz"))
    assert monai.get_session(session["session_id"])["name"] == session["session_id"]
    path, _ = monai.infer(name, "", {}, session_id=session["session_id"])
    assert read_labels(path).shape == (32, 32, 6)
    monai.remove_session(session["session_id"])
    assert monai.upload_image(str(tmp_path / "other.nii.gz"), "mine")["image"].startswith("other_")
    path, _ = monai.infer(name, "", {}, file=str(tmp_path / "other.nii.gz"))
    assert read_labels(path).shape == (32, 32, 6)
    with pytest.raises(type(monai).infer.__globals__["MONAILabelClientException"]) as error:
        monai.infer("no such model", study, {})
    assert "choose one that /info lists" in error.value.msg


def test_a_token_is_the_password(folder: Path, weights: Path) -> None:
    token = "a-secret-of-some-length"
    with served(folder, weights, "--token", token) as server:
        module = client_module()
        monai = module.MONAILabelClient(f"{server.address}/monailabel")
        assert monai.auth_enabled()
        with pytest.raises(module.MONAILabelClientException):
            monai.info()
        with pytest.raises(module.MONAILabelClientException):
            monai.auth_token("me", "wrong")
        assert not monai.auth_valid_token()
        monai.update_auth(monai.auth_token("me", token))
        assert monai.auth_valid_token()
        assert monai.info()["name"] == "mvg"


class TestSlicersRequests:
    """As the plug-in sends them; every path with and without a slash at the end."""

    @pytest.fixture
    def client(self, folder: Path) -> Iterator[Client]:
        with serving(folder) as client:
            client.studies()
            yield client

    def submit(self, client: Client, image: str, path: Path, info: list[dict[str, Any]]) -> Any:
        files = {"label": (str(path), path.read_bytes())}
        data = {"params": json.dumps({"label_info": info, "client_id": "user-1"})}
        return client.http.put(f"/monailabel/datastore/label?image={image}", data=data, files=files)

    def images(self, client: Client) -> list[str]:
        return list(client.http.get("/monailabel/datastore/?output=all").json()["objects"])

    @pytest.mark.parametrize("path", ["info", "auth", "datastore"])
    def test_slashes(self, client: Client, path: str) -> None:
        with_slash, without = (client.http.get(f"/monailabel/{path}{end}") for end in ("/", ""))
        assert with_slash.status_code == 200
        assert with_slash.json() == without.json()

    def test_maps_are_numbered_in_the_order_of_the_segments(self, client: Client, truths, tmp_path: Path) -> None:
        """Slicer's idx counts segments that it left out: the second of the list is 2 in the map, whatever its idx."""
        image = self.images(client)[0]
        info = [{"name": "liver", "idx": 1}, {"name": "tumor", "idx": 4}]
        assert self.submit(client, image, map_file(truths[0], tmp_path / "l.nii.gz"), info).status_code == 200
        task = client.get("/tasks")["tasks"][0]
        assert [label["name"] for label in task["labels"]] == ["liver", "tumor"]
        reply = client.http.get(f"/monailabel/datastore/label?label={image}&tag=final")
        assert reply.headers["content-disposition"].endswith('.nii.gz"')
        (tmp_path / "kept.nii.gz").write_bytes(reply.content)
        assert np.array_equal(read_labels(tmp_path / "kept.nii.gz").voxels, numbers_of(truths[0]))

    def test_names_decide_where_the_order_differs(self, client: Client, truths, tmp_path: Path) -> None:
        task = client.task()
        image = self.images(client)[0]
        info = [{"name": "small box", "idx": 1}, {"name": "box", "idx": 2}]
        self.submit(client, image, map_file(truths[0], tmp_path / "l.nii.gz"), info)
        (path,) = (client.workbench.records.folder(task["id"]) / "labelsTr").iterdir()
        swapped = np.array([0, 700, 3])[numbers_of(truths[0])]
        assert np.array_equal(read_labels(path).voxels, swapped)

    def test_a_new_name_is_a_new_label(self, client: Client, truths, tmp_path: Path) -> None:
        client.task()
        info = [{"name": "box", "idx": 1}, {"name": "vessel", "idx": 2}]
        self.submit(client, self.images(client)[0], map_file(truths[0], tmp_path / "l.nii.gz"), info)
        (task,) = client.get("/tasks")["tasks"]
        assert [label["name"] for label in task["labels"]] == ["box", "small box", "vessel"]

    def test_ohif_infers_as_nrrd(self, client: Client, truths, tmp_path: Path) -> None:
        image = self.images(client)[0]
        self.submit(client, image, map_file(truths[0], tmp_path / "l.nii.gz"), INFO)
        data = {"params": json.dumps({"result_extension": ".nrrd", "result_dtype": "uint8"})}
        name = client.get("/tasks")["tasks"][0]["name"]
        reply = client.http.post(f"/monailabel/infer/{name}?image={image}&output=image", data=data)
        (tmp_path / "out.nrrd").write_bytes(reply.content)
        labels = read_labels(tmp_path / "out.nrrd")
        assert labels.voxels.dtype == np.uint8
        assert np.array_equal(labels.voxels, numbers_of(truths[0])), "accepted labels stay"

    def test_another_grid_is_refused_and_nothing_is_kept(self, client: Client, truths, tmp_path: Path) -> None:
        labels = LabelMap(numbers_of(truths[0])[:, :, :4], truths[0].affine)
        write(labels, tmp_path / "l.nii.gz")
        reply = self.submit(client, self.images(client)[0], tmp_path / "l.nii.gz", INFO)
        assert reply.status_code == 422
        assert "differ in shape" in reply.json()["error"]
        assert client.http.get("/monailabel/datastore/").json()["completed"] == 0

    def test_images_are_downloaded_as_they_are(self, client: Client, folder: Path) -> None:
        image = self.images(client)[1]
        reply = client.http.get(f"/monailabel/datastore/image?image={image}")
        assert reply.content == (folder / "scan1.nii.gz").read_bytes()
        assert client.http.head(f"/monailabel/datastore/image?image={image}").status_code == 200
        assert client.http.get("/monailabel/datastore/image?image=../../etc/passwd").status_code == 404

    def test_a_model_without_examples_says_what_to_do(self, client: Client) -> None:
        client.task()
        reply = client.http.post(f"/monailabel/infer/boxes?image={self.images(client)[0]}", data={"params": "{}"})
        assert reply.status_code == 409
        assert "submit it first" in reply.json()["error"]

    def test_the_most_uncertain_study_comes_first(self, client: Client, truths, folder: Path, tmp_path: Path) -> None:
        make_studies(folder, 4)
        client.post("/studies/rescan", status=202)
        client.studies()
        images = self.images(client)
        self.submit(client, images[0], map_file(truths[0], tmp_path / "l.nii.gz"), INFO)
        task = client.get("/tasks")["tasks"][0]

        for row, quality in zip(client.studies()[1:3], (0.9, 0.4), strict=True):
            client.workbench.index.set_work(task["id"], row["id"], Work("answered", quality, 0, 1.0))
        reply = client.http.post("/monailabel/activelearning/uncertain", json={"client_id": "a"})
        assert reply.json()["id"] == images[2]
        assert client.http.post("/monailabel/activelearning/other", json={}).status_code == 404
