"""What may not pass: other pages, other addresses, requests without the token, paths out of the folder, too much."""

import json
import os
from pathlib import Path

import pytest

from mvg.errors import FileError, MvgError
from mvg.imaging.files import read
from mvg.server.app import PAGE
from mvg.server.intake import check_file
from mvg.server.settings import ServerSettings, new_token
from mvg.server.workbench import Workbench
from tests.server.clients import Client, serving

TOKEN = "a-token-of-enough-length"


_DISGUISED = [
    "list.mhd", "list.mha", "longlist.mhd", "long.mhd", "other.mhd", "long.nhdr", "split.nhdr", "key.nhdr",
]  # fmt: skip


class TestOtherPages:
    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:1"},
            {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
        ],
    )  # fmt: skip
    def test_are_refused(self, client: Client, headers: dict[str, str]) -> None:
        for request in (client.http.get, client.http.post):
            reply = request("/api/v1/tasks", headers=headers)
            assert reply.status_code == 403
            assert "another page" in reply.json()["error"]

    def test_the_servers_page_may(self, client: Client) -> None:
        headers = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}
        assert client.http.get("/api/v1/tasks", headers=headers).status_code == 200

    def test_names_that_lead_here_are_refused(self, client: Client) -> None:
        """A page may let its own name lead to this machine, so that it has the same origin as the server."""
        reply = client.http.get("/api/v1/tasks", headers={"host": "rebound.example"})
        assert reply.status_code == 421
        for host in ("localhost:8765", "127.0.0.1", "[::1]:80"):
            assert client.http.get("/api/v1/info", headers={"host": host}).status_code == 200

    def test_a_strict_policy(self, client: Client) -> None:
        for path in ("/", "/api/v1/info", "/api/v1/nothing", "/missing.js"):
            policy = client.http.get(path).headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self'" in policy
            assert "unsafe-inline" not in policy
            assert "'unsafe-eval'" not in policy
            assert "frame-ancestors 'none'" in policy


class TestTokens:
    @pytest.fixture
    def client(self, folder: Path):
        with serving(folder, token=TOKEN, host="0.0.0.0") as client:
            yield client

    @pytest.mark.parametrize("path", ["/api/v1/studies", "/api/v1/tasks", "/api/v1/openapi.json", "/monailabel/info"])
    def test_everything_but_the_page_needs_one(self, client: Client, path: str) -> None:
        assert client.http.get(path).status_code == 401
        for headers in (
            {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}, {"cookie": "mvg_token=wrong"},
            {"authorization": "Bearer "},
        ):  # fmt: skip
            assert client.http.get(path, headers=headers).status_code == 401, headers
        assert client.http.get(path, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.http.get(path, headers={"cookie": f"mvg_token={TOKEN}"}).status_code == 200

    def test_info_tells_strangers_only_that_one_is_needed(self, client: Client) -> None:
        facts = client.get("/info")
        assert facts.keys() == {"version", "api", "token_required", "authorized"}
        assert not facts["authorized"]

    def test_login_sets_a_cookie_that_scripts_cannot_read(self, client: Client) -> None:
        assert client.http.post("/api/v1/login", json={"token": "wrong"}).status_code == 401
        reply = client.http.post("/api/v1/login", json={"token": TOKEN})
        assert reply.status_code == 204
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(reply.headers["set-cookie"].split("; "))
        assert client.http.get("/api/v1/tasks").status_code == 200
        client.http.post("/api/v1/logout")
        assert client.http.get("/api/v1/tasks").status_code == 401

    def test_the_token_leaves_the_address(self, client: Client) -> None:
        reply = client.http.get(f"/?token={TOKEN}", follow_redirects=False)
        assert (reply.status_code, reply.headers["location"]) == (303, "/")
        assert client.http.get("/api/v1/tasks").status_code == 200
        assert "set-cookie" not in client.http.get("/?token=wrong", follow_redirects=False).headers

    def test_other_addresses_need_one(self, folder: Path) -> None:
        for host in ("0.0.0.0", "::", "192.168.1.5", "server.example"):
            with pytest.raises(MvgError, match="add --token new"):
                ServerSettings(folder, host=host)
            ServerSettings(folder, host=host, token=new_token())
        for host in ("127.0.0.1", "::1", "localhost"):
            ServerSettings(folder, host=host)
        with pytest.raises(MvgError, match="16 or more"):
            ServerSettings(folder, token="short")


class TestPaths:
    @pytest.mark.parametrize(
        "path",
        [
            "/../pyproject.toml", "/..%2f..%2f..%2fetc%2fpasswd", "/%2e%2e/app.py", "/vendor/../../app.py", "/mvg.py",
            "//etc/passwd",
        ],
    )  # fmt: skip
    def test_the_page_serves_its_folder_alone(self, client: Client, path: str) -> None:
        reply = client.http.get(path)
        assert reply.status_code in (400, 404), reply.text[:200]

    def test_links_out_of_the_folder_are_listed_and_never_read(self, folder: Path, tmp_path: Path) -> None:
        outside = tmp_path / "outside.nii.gz"
        (folder / "scan1.nii.gz").rename(outside)
        (folder / "link.nii.gz").symlink_to(outside)
        (folder / "inside.nii.gz").symlink_to(folder / "scan0.nii.gz")
        (folder / "loop").symlink_to(folder)
        with serving(folder) as client:
            rows = {row["name"]: row for row in client.studies()}
            assert rows.keys() == {"scan0.nii.gz", "link.nii.gz", "inside.nii.gz"}
            assert "outside of the folder" in rows["link.nii.gz"]["error"]
            study = rows["link.nii.gz"]["id"]
            for end in ("", "/volume.nii", "/thumbnail.png", "/header"):
                assert "copy it into the folder" in client.get(f"/studies/{study}{end}", status=422)["error"]
            assert client.content(f"/studies/{rows['inside.nii.gz']['id']}/volume.nii")

    def test_a_file_that_becomes_a_link_is_not_read(self, client: Client, folder: Path, tmp_path: Path) -> None:
        study = client.studies()[0]
        (folder / "scan0.nii.gz").rename(tmp_path / "moved.nii.gz")
        (folder / "scan0.nii.gz").symlink_to(tmp_path / "moved.nii.gz")
        assert "leads out" in client.get(f"/studies/{study['id']}", status=422)["error"]

    @pytest.mark.parametrize(("name", "key"), [("a.mhd", "ElementDataFile = {}"), ("a.nhdr", "data file: {}")])
    def test_headers_may_not_name_other_files(self, folder: Path, tmp_path: Path, name: str, key: str) -> None:
        secret = tmp_path / "secret.raw"
        secret.write_bytes(bytes(4 * 4 * 4))
        sizes = {
            "a.mhd": "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\n",
            "a.nhdr": "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n",
        }
        with serving(folder) as client:
            for number, target in enumerate((secret, Path("../secret.raw"), Path("/etc/hostname"))):
                path = folder / f"{number}{name}"
                path.write_text(sizes[name] + key.format(target) + "\n")
            client.post("/studies/rescan", status=202)
            rows = [row for row in client.studies() if row["format"] == Path(name).suffix]
            assert len(rows) == 3
            for row in rows:
                assert "takes its voxels from" in client.get(f"/studies/{row['id']}", status=422)["error"]

    @pytest.mark.parametrize("name", _DISGUISED)
    def test_neither_in_a_list_nor_behind_a_long_comment(self, folder: Path, tmp_path: Path, name: str) -> None:
        secret = tmp_path / "secret.raw"
        secret.write_bytes(bytes(4 * 4 * 4))
        meta = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\n"
        nrrd = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n"
        kind, suffix = name.split(".")
        if kind == "list":
            text = f"{meta}ElementDataFile = LIST\n" + 4 * f"{secret}\n"
        elif kind == "longlist":
            text = f"{meta}ElementDataFile = LIST\n" + 200_000 * "0.raw\n" + f"{secret}\n"
        elif suffix == "mhd":
            meta = "NRRD0004\n\n" + meta if kind == "other" else meta
            text = meta.replace("NDims", 11_000 * f"Comment = {'x' * 90}\n" + "NDims") + f"ElementDataFile = {secret}\n"
        else:
            end = {"split": "# \r\r", "key": ":=x"}.get(kind, "#")
            text = nrrd + f"{end}\n" + 11_000 * f"# {'x' * 98}\n" + f"data file: {secret}\n"
        (folder / "0.raw").write_bytes(bytes(16))
        (folder / name).write_text(text, newline="")
        with pytest.raises(FileError, match=r"takes its voxels from|has a header of more than 1 MiB"):
            check_file(folder / name, folder.resolve())

    def test_a_list_of_files_beside_the_header_is_read(self, folder: Path) -> None:
        for number in range(2):
            (folder / f"{number}.raw").write_bytes(bytes(range(16)))
        header = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 2\nElementType = MET_UCHAR\nElementDataFile = LIST\n"
        (folder / "a.mhd").write_text(header + "0.raw\n1.raw\n")
        assert read(check_file(folder / "a.mhd", folder.resolve())).shape == (4, 4, 2)

    def test_a_second_server_is_refused(self, client: Client, folder: Path) -> None:
        with pytest.raises(MvgError, match="served already"):
            Workbench(ServerSettings(folder)).open()


class TestSizes:
    def test_large_requests_are_cut(self, client: Client) -> None:
        reply = client.http.post("/api/v1/tasks", content=b"x" * (33 * 2**20))
        assert reply.status_code == 413
        assert "at most 32 MiB" in reply.json()["error"]

    def test_requests_without_a_length_too(self, client: Client) -> None:
        def parts():
            for _ in range(40):
                yield b"x" * 2**20

        reply = client.http.post("/api/v1/tasks", content=parts())
        assert reply.status_code >= 400

    def test_deep_json_is_one_line(self, client: Client) -> None:
        reply = client.http.post("/api/v1/tasks", content="[" * 50_000, headers={"content-type": "application/json"})
        assert reply.status_code in (400, 422)
        assert "\n" not in reply.json()["error"]


def test_headers_are_sent_on_request_only(client: Client) -> None:
    study = client.studies()[0]
    assert "descrip" not in json.dumps(client.get(f"/studies/{study['id']}"))
    names = {entry["name"] for entry in client.get(f"/studies/{study['id']}/header")["entries"]}
    assert "descrip" in names


def test_a_folder_that_cannot_be_written_is_named(folder: Path) -> None:
    if os.geteuid() == 0:
        (folder / "mvg").write_text("in the way")
    else:
        folder.chmod(0o500)
    try:
        with pytest.raises(MvgError, match="cannot be written"):
            Workbench(ServerSettings(folder)).open()
    finally:
        folder.chmod(0o700)


def test_the_page_is_part_of_the_package() -> None:
    assert (PAGE / "index.html").is_file()


def test_the_page_is_compressed_and_sent_once(client: Client) -> None:
    script = next(path.relative_to(PAGE).as_posix() for path in sorted(PAGE.rglob("*.js")))
    plain = client.http.get(f"/{script}", headers={"accept-encoding": "identity"})
    packed = client.http.get(f"/{script}", headers={"accept-encoding": "gzip"})
    assert packed.content == plain.content
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-type"].startswith("text/javascript")
    again = client.http.get(f"/{script}", headers={"if-none-match": packed.headers["etag"]})
    assert again.status_code == 304
