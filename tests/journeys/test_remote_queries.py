"""Queries at URLs: in memory, by HTTP and in an object store; whole or not at all, without a word of credentials."""

import errno
import json
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from mvg.imaging.files import read_labels
from tests.journeys.conftest import Run
from tests.object_store import object_store


class Silent(SimpleHTTPRequestHandler):
    """Serves a folder without a line for each request."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def http(user: Path) -> Iterator[str]:
    """The address of the user's files, with a user and a signature."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(user)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture
def s3(user: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The user's query in an object store."""
    with object_store("queries-of-a-test", monkeypatch) as system:
        system.pipe_file("queries-of-a-test/deep/scan.nii.gz", (user / "scan.nii.gz").read_bytes())
        yield "s3://queries-of-a-test/deep"


def test_answers_are_those_of_local_files(
    run: Run, user: Path, weights: Path, http: str, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    fsspec.filesystem("memory").pipe_file("/folder/scan.nii.gz", (user / "scan.nii.gz").read_bytes())
    common = ("--prompts", user / "prompts", "--weights", weights, "-q")
    assert run("predict", user / "scan.nii.gz", *common, "--output", tmp_path / "local").code == 0
    truth = read_labels(tmp_path / "local" / "scan.nii.gz")
    addresses = ("memory://folder/scan.nii.gz", f"{http}/scan.nii.gz?signature=hidden", f"{s3}/scan.nii.gz")
    for number, address in enumerate(addresses):
        output = tmp_path / str(number)
        done = run("predict", address, *common, "--output", output)
        assert (done.code, done.err) == (0, "")
        answer = read_labels(output / "scan.nii.gz")
        assert (answer.voxels == truth.voxels).all()
        assert answer.affine.tobytes() == truth.affine.tobytes()
        everything = "".join(path.read_text(errors="replace") for path in output.iterdir() if path.suffix != ".gz")
        assert not any(secret in everything for secret in ("hidden", "key-of", "secret-of"))
        again = run("predict", address, *common[:-1], "--output", output)
        assert "1 of 1 answers were done" in again.err, "what is done is kept"
        assert json.loads((output / "manifest.json").read_text())["answers"]["scan.nii.gz"]["query"] == "scan.nii.gz"
    assert list((tmp_path / "temporary").iterdir()) == [], "nothing that was fetched stays"


def test_what_cannot_be_fetched_is_a_line_without_credentials(
    run: Run, user: Path, weights: Path, http: str, s3: str, tmp_path: Path
) -> None:
    common = ("--prompts", user / "prompts", "--weights", weights, "-q", "--output", tmp_path / "out")
    fsspec.filesystem("memory").pipe_file("/broken.nii.gz", b"no image")
    for address, reason in (
        (f"{http}/none.nii.gz?signature=hidden", "there is no such file"),
        (f"{s3}/none.nii.gz", "there is no such file"),
        ("memory://broken.nii.gz", "'memory://broken.nii.gz' cannot be read"),
        ("nowhere://user:hidden@host/a.nii.gz", "no package here opens 'nowhere://'"),
    ):
        done = run("predict", address, *common)
        assert done.code == 2
        assert reason in done.err
        assert done.err.count("\n") == 1
        assert "hidden" not in done.err


def test_a_full_disk_while_a_query_is_fetched_is_one_line(
    run: Run, user: Path, weights: Path, http: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    write_bytes = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.is_relative_to(tmp_path) and path.parent.name == "query":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    common = ("--prompts", user / "prompts", "--weights", weights)
    done = run("predict", f"{http}/scan.nii.gz?signature=hidden", *common, "--output", tmp_path / "out")
    assert done.code == 2
    assert "could not be kept" in done.err
    assert "No space left on device" in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert "hidden" not in done.err
