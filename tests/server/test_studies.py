"""Studies of a folder: what is listed, what belongs together, copies for the page, uploads, files that are refused."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
from PIL import Image

from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from mvg.server import intake
from mvg.server.scanning import scan
from mvg.server.uploads import display_name
from tests.server.clients import Client, make_studies, ras, serving


def touch(folder: Path, *names: str) -> None:
    """Write files that are only listed."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def pairs(folder: Path) -> dict[str, str | None]:
    """The paths of the studies and of the labels beside them."""
    return {study.path: study.labels for study in scan(folder)}


class TestWhatIsListed:
    def test_labels_beside_studies(self, tmp_path: Path) -> None:
        touch(
            tmp_path, "a.nii.gz", "a_label.nii.gz", "b.mha", "b-seg.nrrd", "c.png", "c mask.png", "d.nii",
            "sub/d_seg.nii", "nn/imagesTr/case_0000.nii.gz", "nn/labelsTr/case.nii.gz",
            "nn/imagesTs/other_0000.nii.gz",
            "p/images/x.jpg", "p/masks/x.png", "p/images/y.jpg",
        )  # fmt: skip
        assert pairs(tmp_path) == {
            "a.nii.gz": "a_label.nii.gz", "b.mha": "b-seg.nrrd", "c.png": "c mask.png", "d.nii": None,
            "sub/d_seg.nii": None, "nn/imagesTr/case_0000.nii.gz": "nn/labelsTr/case.nii.gz",
            "nn/imagesTs/other_0000.nii.gz": None, "p/images/x.jpg": "p/masks/x.png", "p/images/y.jpg": None,
        }  # fmt: skip

    def test_what_is_no_study(self, tmp_path: Path) -> None:
        touch(
            tmp_path, "notes.txt", "a.json", ".hidden.nii.gz", ".cache/b.nii.gz", "mvg/tasks/t/c.nii.gz", "d.raw", "e"
        )
        assert pairs(tmp_path) == {}

    def test_the_same_name_in_other_formats_is_another_study(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.nii.gz", "a.mha", "x/a.nii.gz")
        studies = scan(tmp_path)
        assert len({study.id for study in studies}) == 3
        assert [study.id for study in scan(tmp_path)] == [study.id for study in studies]

    def test_ten_thousand_studies_are_paged(self, tmp_path: Path) -> None:
        for number in range(100):
            touch(tmp_path, *(f"{number:03d}/{other:03d}.nii.gz" for other in range(100)))
        with serving(tmp_path) as client:
            client.studies()
            page = client.get("/studies", offset=9_990, limit=50)
            assert (page["total"], len(page["studies"])) == (10_000, 10)
            assert page["studies"][-1]["name"] == "099/099.nii.gz"
            last = client.get("/studies", search="042/01", order="desc")["studies"][0]
            assert last["name"] == "042/019.nii.gz"
            assert client.get("/studies", status=422, limit=1000)["error"].count("limit") == 1

    def test_new_files_are_listed_after_a_rescan(self, client: Client, folder: Path) -> None:
        before = client.studies()
        make_studies(folder, 3)
        client.post("/studies/rescan", status=202)
        assert [row["id"] for row in client.studies()][:2] == [row["id"] for row in before]
        assert len(client.studies()) == 3


class TestCopies:
    def test_whole_numbers_and_fractions(self, tmp_path: Path) -> None:
        affine = np.diag([2.0, -3, 4, 1])
        whole = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 5
        write(Volume(whole, affine), tmp_path / "a.nii.gz")
        write(Volume(whole / 3, affine), tmp_path / "b.nii.gz")
        with serving(tmp_path) as client:
            first, second = client.studies()
            image = nibabel.Nifti1Image.from_bytes(client.content(f"/studies/{first['id']}/volume.nii"))
            assert image.get_data_dtype() == np.int16
            assert np.array_equal(np.asarray(image.dataobj), whole[:, ::-1])
            assert np.allclose(np.abs(image.affine[:3, :3]), np.diag([2, 3, 4]))
            assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
            copy = client.array(f"/studies/{second['id']}/volume.nii")
            assert copy.dtype == np.float32
            facts = client.get(f"/studies/{first['id']}")
            assert (facts["shape"], facts["spacing"], facts["orientation"]) == ([2, 3, 4], [2, 3, 4], "RPS")
            assert facts["range"] == [-5, 18]

    def test_oblique_volumes_are_copied_along_their_axes(self, client: Client, folder: Path) -> None:
        study = client.studies()[0]
        image = nibabel.Nifti1Image.from_bytes(client.content(f"/studies/{study['id']}/volume.nii"))
        assert np.count_nonzero(image.affine[:3, :3]) == 3, "no viewer turns it"
        original = nibabel.nifti1.load(folder / "scan0.nii.gz")
        turned = nibabel.as_closest_canonical(original)
        assert np.allclose(np.asarray(image.dataobj), np.asarray(turned.dataobj))
        assert np.allclose(client.get(f"/studies/{study['id']}")["affine"], turned.affine)

    def test_colors(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "skin.png")
        with serving(tmp_path) as client:
            study = client.studies()[0]
            copy = client.array(f"/studies/{study['id']}/volume.nii")
            assert copy.dtype.names == ("R", "G", "B")
            assert np.array_equal(copy["G"][::-1, ::-1, 0].T, pixels[..., 1]), "columns to the left, rows to the back"
            assert client.get(f"/studies/{study['id']}")["channels"] == 3
            thumbnail = Image.open(io.BytesIO(client.content(f"/studies/{study['id']}/thumbnail.png")))
            assert thumbnail.size == (96, 69)

    def test_a_copy_is_sent_once(self, client: Client) -> None:
        path = f"/api/v1/studies/{client.studies()[0]['id']}/volume.nii"
        tag = client.http.get(path).headers["etag"]
        assert client.http.get(path, headers={"if-none-match": tag}).status_code == 304

    def test_labels_beside_a_study_as_class_numbers(self, folder: Path, truths: list[LabelMap]) -> None:
        write(truths[0], folder / "scan0_label.nii.gz")
        with serving(folder) as client:
            study, task = client.studies()[0], client.task()
            assert study["has_labels"]
            assert client.get(f"/studies/{study['id']}")["label_values"] == [3, 700]
            numbers = client.array(f"/studies/{study['id']}/labels.nii", task=task["id"])
            assert np.array_equal(np.array([0, 3, 700])[numbers], ras(truths[0], truths[0].voxels))

    def test_a_study_that_cannot_be_read_says_why_in_the_list(self, client: Client, folder: Path) -> None:
        (folder / "scan1.nii.gz").write_bytes(b"not an image")
        study = client.studies()[1]
        error = client.get(f"/studies/{study['id']}/volume.nii", status=422)["error"]
        assert "cannot be read" in error
        assert client.studies()[1]["error"] == error


class TestUploads:
    def upload(self, client: Client, *files: tuple[str, bytes]) -> Any:
        return client.http.post("/api/v1/studies", files=[("files", file) for file in files])

    def test_a_study_with_a_hostile_name(self, client: Client, folder: Path) -> None:
        content = (folder / "scan0.nii.gz").read_bytes()
        reply = self.upload(client, ("../../..\\evil.nii.gz", content))
        (study,) = reply.json()["studies"]
        assert (study["origin"], study["name"]) == ("upload", "evil.nii.gz")
        assert client.array(f"/studies/{study['id']}/volume.nii").shape == (32, 32, 6)
        assert not list(folder.parent.glob("**/evil*"))

    def test_deleting_takes_all_that_was_made_of_a_study(self, client: Client, folder: Path) -> None:
        (study,) = self.upload(client, ("a.nii.gz", (folder / "scan0.nii.gz").read_bytes())).json()["studies"]
        task, path = client.task(), f"/api/v1/studies/{study['id']}"
        session = client.session(task, study)
        for index in range(6):
            client.correct(session, 2, index, np.ones((32, 32)))
        client.post(f"/sessions/{session['id']}/finish", {"example": True})
        assert "is an example of 'boxes'" in client._json(client.http.delete(path), 409)["error"]
        (example,) = client.get(f"/tasks/{task['id']}")["examples"]
        client.http.delete(f"/api/v1/tasks/{task['id']}/examples/{example['id']}")
        assert client.http.delete(path).status_code == 204
        assert study["id"] not in {row["id"] for row in client.studies(task=task["id"])}
        assert client.get(f"/sessions/{session['id']}", status=404)
        root = client.workbench.workspace.root
        assert not list(root.glob("uploads/*"))
        assert not list(root.glob("tasks/*/sessions/*"))
        assert not list(root.glob("tasks/*/labelsTr/*"))
        assert json.loads((root / "tasks" / task["id"] / "dataset.json").read_text())["numTraining"] == 0
        assert len(list(root.glob("trash/*"))) == 3

    def test_a_study_of_the_folder_is_never_deleted(self, client: Client, folder: Path) -> None:
        study = client.studies()[0]
        reply = client.http.delete(f"/api/v1/studies/{study['id']}")
        assert "remove its file" in client._json(reply, 409)["error"]
        assert (folder / "scan0.nii.gz").exists()
        assert len(client.studies()) == 2

    def test_a_study_is_not_deleted_while_it_is_predicted(self, client: Client, folder: Path) -> None:
        (study,) = self.upload(client, ("a.nii.gz", (folder / "scan0.nii.gz").read_bytes())).json()["studies"]
        session = client.session(client.task(), study)
        with client.workbench.sessions.get(session["id"]).model_lock:
            reply = client.http.delete(f"/api/v1/studies/{study['id']}")
            assert "a prediction that is running" in client._json(reply, 409)["error"]
        assert client.http.delete(f"/api/v1/studies/{study['id']}").status_code == 204

    def test_names_for_display(self) -> None:
        assert display_name("a/b\\c\x00\n.nii") == "c.nii"
        assert display_name("/") == "file"
        assert len(display_name("x" * 999)) == 120

    def test_uploads_stay_after_a_restart(self, folder: Path) -> None:
        with serving(folder) as client:
            (study,) = self.upload(client, ("a.nii.gz", (folder / "scan0.nii.gz").read_bytes())).json()["studies"]
        with serving(folder) as client:
            assert study["id"] in {row["id"] for row in client.studies()}

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.nii.gz", b"junk", "cannot be read"), ("a.txt", b"text", "no known suffix"),
            ("a.mhd", b"x", "store .mha"),
            ("a.nii.gz", b"", "is empty"), ("", b"x", "a text where a file"),
            ("a.pkl", b"cos\nsystem\n", "no known suffix"),
        ],
    )  # fmt: skip
    def test_what_is_no_image_is_refused(self, client: Client, name: str, content: bytes, message: str) -> None:
        reply = self.upload(client, (name, content))
        assert reply.status_code == 422
        assert message in reply.json()["error"]
        assert not list(client.workbench.workspace.uploads.iterdir()), "nothing stays"

    def test_one_bad_file_does_not_refuse_the_others(self, client: Client, folder: Path) -> None:
        reply = self.upload(client, ("a.nii.gz", b"junk"), ("b.nii.gz", (folder / "scan0.nii.gz").read_bytes()))
        assert reply.status_code == 201
        (error,) = reply.json()["errors"]
        assert error["name"] == "a.nii.gz"
        assert error["error"].startswith("'a.nii.gz' cannot be read")

    def test_too_many_files(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mvg.server.uploads.MOST_FILES", 2)
        assert self.upload(client, *[("a.png", b"x")] * 3).status_code == 413

    def test_too_many_bytes(self, client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mvg.server.uploads.MOST_BYTES", 100)
        reply = self.upload(client, ("a.nii.gz", (folder / "scan0.nii.gz").read_bytes()))
        assert "larger than" in reply.json()["error"]
        assert not list(client.workbench.workspace.uploads.iterdir())

    def test_a_text_instead_of_a_file(self, client: Client) -> None:
        assert client.http.post("/api/v1/studies", data={"files": "text"}).status_code == 422


class TestBombs:
    """Files that would expand far beyond what they hold."""

    @pytest.fixture(autouse=True)
    def limits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(intake, "MOST_VOXELS", 10**6)

    def refused(self, folder: Path) -> str:
        with serving(folder) as client:
            (study,) = client.studies()
            return str(client.get(f"/studies/{study['id']}", status=422)["error"])

    def header(self, shape: tuple[int, ...]) -> bytes:
        image = nibabel.Nifti1Image(np.zeros((1, 1, 1), np.uint8), np.eye(4))
        image.header.set_data_shape(shape)
        return bytes(image.header.binaryblock) + bytes(4)

    def test_a_header_of_many_voxels(self, tmp_path: Path) -> None:
        (tmp_path / "a.nii.gz").write_bytes(gzip.compress(self.header((2000, 2000, 2000)) + bytes(1000)))
        assert "expands to 8000 million voxels" in self.refused(tmp_path)

    def test_more_than_the_header_announces(self, tmp_path: Path) -> None:
        (tmp_path / "a.nii.gz").write_bytes(gzip.compress(self.header((10, 10, 10)) + bytes(20 * 2**20)))
        assert "more voxels than its header announces" in self.refused(tmp_path)

    def test_a_picture_of_many_pixels(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        Image.new("L", (2000, 2000)).save(tmp_path / "a.png")
        assert "expands to 4 million voxels" in self.refused(tmp_path)

    def test_a_meta_image_of_many_voxels(self, tmp_path: Path) -> None:
        text = "ObjectType = Image\nNDims = 3\nDimSize = 900 900 900\nElementType = MET_UCHAR\nCompressedData = True\n"
        (tmp_path / "a.mha").write_bytes((text + "ElementDataFile = LOCAL\n").encode() + bytes(10))
        assert "expands to 729 million voxels" in self.refused(tmp_path)

    def test_an_archive_of_arrays(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("voxels.npy", bytes(10 * 2**20))
        assert "expands to" in self.refused(tmp_path)

    def test_pickled_arrays(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", voxels=np.array([{"a": 1}], object), affine=np.eye(4))
        assert "cannot be read" in self.refused(tmp_path)

    def test_an_hdf5_file_that_links_to_another(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["voxels"] = h5py.ExternalLink("/etc/other.h5", "voxels")
            file["affine"] = np.eye(4)
        assert "links to another file" in self.refused(tmp_path)

    def test_an_archive_of_dicom(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.dcm", bytes(10 * 2**20))
        assert "expands to" in self.refused(tmp_path)
