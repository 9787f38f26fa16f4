"""Files at an address: read whole, again after a fault, and never named with their credentials."""

from pathlib import Path
from typing import Any

import fsspec
import pytest

from mvg import _remote
from mvg._remote import (
    address_of,
    identity,
    join,
    name_in,
    public,
    read_bytes,
    read_range,
    subfolders_with,
    write_bytes,
)
from mvg.errors import FileError

SECRET = "https://name:pass@host.example/folder/scan.nii.gz?X-Signature=hidden"


def test_a_path_and_a_url_are_read_and_written_alike(tmp_path: Path) -> None:
    for folder in (tmp_path, "memory://tests"):
        address = join(folder, "a", "file")
        if folder == tmp_path:
            (tmp_path / "a").mkdir()
        write_bytes(address, b"0123456789")
        assert read_bytes(address) == b"0123456789"
        assert read_range(address, 2, 5) == b"234"
        assert subfolders_with(folder, "file") == [join(folder, "a")]
        assert subfolders_with(folder, "other") == []
        with pytest.raises(FileError, match="there is no such file"):
            read_bytes(join(folder, "none"))


def test_a_file_without_tag_or_time_is_known_by_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    address, memory = "memory://tests/same", fsspec.filesystem("memory")
    write_bytes(address, b"before")
    assert identity(address) == identity(address)
    monkeypatch.setattr(type(memory), "info", lambda system, path: {"name": path, "size": 6})
    before = identity(address)
    assert identity(address) == before
    write_bytes(address, b"behind")
    assert identity(address) != before


def test_a_name_holds_no_credentials() -> None:
    assert name_in("s3://name:pass@bucket") == "bucket"


def test_an_address_is_named_without_its_credentials() -> None:
    assert public(SECRET) == "https://host.example/folder/scan.nii.gz"
    assert join(SECRET, "x") == "https://name:pass@host.example/folder/scan.nii.gz/x?X-Signature=hidden"
    assert join("hdfs:///folder", "x") == "hdfs:///folder/x"
    assert public(Path("/a/b")) == "/a/b"
    assert address_of("s3://bucket/x/") == "s3://bucket/x"


class Faulty:
    """A file system that fails some times, with its address in the message, and then works."""

    def __init__(self, faults: int, error: type[Exception]) -> None:
        self.faults, self.error, self.calls = faults, error, 0

    def cat_file(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        self.calls += 1
        if self.calls <= self.faults:
            raise self.error(f"lost the connection to {SECRET}, signature hidden")
        return b"content"


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(faults: int, error: type[Exception]) -> Faulty:
        system = Faulty(faults, error)
        monkeypatch.setattr(fsspec.core, "url_to_fs", lambda address: (system, address))
        monkeypatch.setattr(_remote, "_PAUSE", 0.0)
        return system

    return make


def test_a_failed_transfer_is_tried_again(faulty: Any) -> None:
    system = faulty(2, ConnectionError)
    assert read_bytes(SECRET) == b"content"
    assert system.calls == 3


@pytest.mark.parametrize(("error", "calls"), [(ConnectionError, 4), (RuntimeError, 4), (PermissionError, 1)])
def test_a_transfer_that_fails_for_good_is_one_line_without_credentials(
    faulty: Any, error: type[Exception], calls: int
) -> None:
    system = faulty(9, error)
    with pytest.raises(FileError, match=r"'https://host\.example/folder/scan\.nii\.gz' cannot be used") as caught:
        read_bytes(SECRET)
    assert system.calls == calls
    assert caught.value.__cause__ is None
    assert not any(word in str(caught.value) for word in ("pass", "hidden", "\n"))
